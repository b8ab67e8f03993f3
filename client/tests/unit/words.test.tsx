// @vitest-environment happy-dom
import { cleanup, render } from '@testing-library/react';
import { afterEach, expect, it } from 'vitest';

import { Words } from '../../page/Words';

afterEach(cleanup);

function links(text: string): Array<string | null> {
  const { container } = render(<Words text={text} />);
  expect(container.textContent).toBe(text);
  return [...container.querySelectorAll('a')].map((link) => link.getAttribute('href'));
}

it.each([
  ['See https://a.example/x?y=1#z.', ['https://a.example/x?y=1#z']],
  ['(http://a.example), "https://b.example/é"!', ['http://a.example', 'https://b.example/é']],
  ['javascript:alert(1) data:text/html,x ftp://a.example www.a.example', []],
  ['https://<script>', []],
  ['http:// https://[ nothing', []],
  ['<b>no</b> markup', []],
])('finds the addresses in %j', (text, expected) => {
  expect(links(text)).toEqual(expected);
});

it('tells the other side nothing and gives it no hold on this page', () => {
  const { container } = render(<Words text="https://a.example" />);
  const link = container.querySelector('a')!;
  expect(link.rel.split(' ')).toEqual(expect.arrayContaining(['noopener', 'noreferrer']));
  expect(link.target).toBe('_blank');
});
