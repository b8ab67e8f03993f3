"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const viewer = document.getElementById("viewer");

SwaggerUIBundle({
  url: viewer.dataset.schema,
  domNode: viewer,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  // A token typed here is gone with the page.
  persistAuthorization: false,
  validatorUrl: null,
});
