// Django's filter widget gives a bare <span> an aria-label, which assistive technology may not read: it is a picture.
addEventListener('load', () => setTimeout(() => {
  for (const icon of document.querySelectorAll('.help-tooltip[aria-label]')) icon.setAttribute('role', 'img');
}));
