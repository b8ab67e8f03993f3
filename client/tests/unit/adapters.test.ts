import { afterEach, describe, expect, it, vi } from 'vitest';

import { Emitter } from '@/core/emitter';
import { ApiError } from '@/core/errors';
import { readClaims } from '@/core/jwt';
import { browserLifecycle } from '@/core/lifecycle';
import { defaultStorage, localStorageAdapter, memoryStorage, secureStorage } from '@/core/storage';
import { uuid4 } from '@/core/uuid';
import { nativeLifecycle } from '@/react-native';
import * as SecureStore from '../../examples/stubs/expo-secure-store';
import { jwt } from '../support/fakes';

afterEach(() => {
  vi.unstubAllGlobals();
  localStorage.clear();
});

describe('storage', () => {
  it.each([
    ['memory', memoryStorage],
    ['localStorage', localStorageAdapter],
    ['Expo SecureStore', () => secureStorage(SecureStore)],
    ['the default', defaultStorage],
  ])('%s keeps, replaces and forgets', async (_name, make) => {
    const storage = make();
    expect(await storage.getItem('access_token')).toBeNull();
    await storage.setItem('access_token', 'a');
    await storage.setItem('access_token', 'b');
    expect(await storage.getItem('access_token')).toBe('b');
    await storage.removeItem('access_token');
    expect(await storage.getItem('access_token')).toBeNull();
  });

  it('uses localStorage by default, under the keys of the guide', () => {
    void defaultStorage().setItem('access_token', 'a');
    expect(localStorage.getItem('access_token')).toBe('a');
  });

  it('falls back to memory where localStorage may not be touched', async () => {
    vi.stubGlobal('localStorage', {
      setItem() {
        throw new DOMException('denied', 'SecurityError');
      },
    });
    const storage = defaultStorage();
    await storage.setItem('access_token', 'a');
    expect(await storage.getItem('access_token')).toBe('a');
  });

  it('reads a sign-in from a localStorage that is full', async () => {
    vi.stubGlobal('localStorage', {
      length: 1,
      getItem: (key: string) => (key === 'refresh_token' ? 'r' : null),
      setItem() {
        throw new DOMException('full', 'QuotaExceededError');
      },
    });
    expect(await defaultStorage().getItem('refresh_token')).toBe('r');
  });

  it('tells of changes in other tabs, of this storage only', () => {
    const heard = vi.fn();
    const stop = localStorageAdapter().subscribe!(heard);
    const tell = (key: string, storageArea: Storage) =>
      window.dispatchEvent(Object.assign(new Event('storage'), { key, storageArea }));
    tell('refresh_token', localStorage);
    tell('other', sessionStorage);
    stop();
    tell('refresh_token', localStorage);
    expect(heard.mock.calls).toEqual([['refresh_token']]);
  });
});

describe('lifecycle', () => {
  it('hears the browser come back, and hides nothing behind a hidden tab', () => {
    const heard = vi.fn();
    const stop = browserLifecycle().subscribe(heard);
    window.dispatchEvent(new Event('offline'));
    window.dispatchEvent(new Event('online'));
    vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
    document.dispatchEvent(new Event('visibilitychange'));
    vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('visible');
    document.dispatchEvent(new Event('visibilitychange'));
    stop();
    window.dispatchEvent(new Event('online'));
    expect(heard.mock.calls.flat()).toEqual(['offline', 'online', 'foreground']);
  });

  it('hears a phone’s app and network, changes only', () => {
    let app: (state: string) => void = () => {};
    let net: (state: { isConnected: boolean | null }) => void = () => {};
    const removed = vi.fn();
    const heard = vi.fn();
    const stop = nativeLifecycle({
      AppState: { currentState: 'active', addEventListener: (_, listener) => ((app = listener), { remove: removed }) },
      NetInfo: { addEventListener: (listener) => ((net = listener), removed) },
    }).subscribe(heard);
    for (const state of ['inactive', 'background', 'active']) app(state);
    for (const isConnected of [true, true, false, false, true]) net({ isConnected });
    expect(heard.mock.calls.flat()).toEqual(['background', 'foreground', 'offline', 'online']);
    stop();
    expect(removed).toHaveBeenCalledTimes(2);
  });
});

describe('small parts', () => {
  it('makes random UUIDs also where there is no crypto', () => {
    const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    const real = globalThis.crypto;
    for (const crypto of [real, { getRandomValues: real.getRandomValues.bind(real) }, undefined]) {
      vi.stubGlobal('crypto', crypto);
      const made = new Set(Array.from({ length: 200 }, uuid4));
      expect(made.size).toBe(200);
      for (const uuid of made) expect(uuid).toMatch(shape);
    }
  });

  it('reads claims, also of people with accents, and null from what is no JWT', () => {
    expect(readClaims(jwt({ exp: 5, sid: 's' }))).toEqual({ exp: 5, sid: 's' });
    const accents = `x.${Buffer.from('{"name":"Zoé"}').toString('base64url')}.y`;
    expect(readClaims(accents)).toEqual({ name: 'Zoé' });
    for (const text of ['', 'opaque', 'a.b.c', 'a..c', 'a.bnVsbA.c']) expect(readClaims(text)).toBeNull();
  });

  it('reads an error from any answer, a proxy’s page included', async () => {
    const page = new Response('<html>', { status: 502, headers: { 'Retry-After': '7' } });
    expect(await ApiError.from(page)).toMatchObject({ status: 502, code: 'unknown', retryAfter: 7 });
  });

  it('goes on to the next listener when one throws', () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const emitter = new Emitter<{ x: number }>();
    const heard = vi.fn();
    emitter.on('x', () => {
      throw new Error('mine');
    });
    const stop = emitter.on('x', heard);
    emitter.on('x', heard);
    stop();
    emitter.emit('x', 1);
    expect(heard).toHaveBeenCalledTimes(1);
    expect(error).toHaveBeenCalledTimes(1);
    error.mockRestore();
  });
});
