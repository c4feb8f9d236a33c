"use strict";
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#openapi",
  validatorUrl: null,
  persistAuthorization: false,
  tryItOutEnabled: true,
});
