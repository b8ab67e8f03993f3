"use strict";

const viewer = document.getElementById("viewer");

Redoc.init(viewer.dataset.schema, { disableSearch: true, hideLoading: true, nativeScrollbars: true }, viewer);
