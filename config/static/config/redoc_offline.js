"use strict";

// ReDoc makes style elements while it runs; with the nonce of this page the Content-Security-Policy lets them work.
// (It also asks for one logo from outside; the policy refuses that, so that nothing leaves the browser.)
const nonce = document.currentScript.dataset.nonce;
const createElement = Document.prototype.createElement;

Document.prototype.createElement = function (name, ...rest) {
  const element = createElement.call(this, name, ...rest);
  if (element instanceof HTMLStyleElement) {
    element.setAttribute("nonce", nonce);
  }
  return element;
};
