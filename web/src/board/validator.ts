// JSON Schema for the form. The validator that rjsf brings compiles schemas with eval, which our pages forbid; this
// one interprets them.
import { type Schema, Validator } from "@cfworker/json-schema";
import { type RJSFSchema, type RJSFValidationError, toErrorSchema, type ValidatorType } from "@rjsf/utils";

const DRAFT = "2020-12";

/** Errors that only say that another error lies further in. */
const OUTER = new Set(["properties", "items", "allOf", "if", "then", "$ref"]);

export const validator: ValidatorType = {
  validateFormData(formData, schema) {
    const errors = problemsOf(schema, formData);
    return { errors, errorSchema: toErrorSchema(errors) };
  },
  isValid: (schema, formData, rootSchema) =>
    new Validator({ ...(rootSchema as Schema), ...(schema as Schema) }, DRAFT).validate(formData).valid,
  rawValidation: (schema, formData) => ({ errors: problemsOf(schema, formData) as never[] }),
};

function problemsOf(schema: RJSFSchema, data: unknown): RJSFValidationError[] {
  // What the form leaves empty is undefined, and is not sent.
  const { errors } = new Validator(schema as Schema, DRAFT, false).validate(JSON.parse(JSON.stringify(data ?? {})));
  return errors
    .filter(({ keyword }) => !OUTER.has(keyword))
    .map(({ keyword, instanceLocation, error }) => {
      const missing = keyword === "required" ? /"([^"]+)"/.exec(error)?.[1] : undefined;
      const path = [...instanceLocation.split("/").slice(1), ...(missing ? [missing] : [])];
      return {
        name: keyword,
        property: path.map((part) => `.${part}`).join(""),
        message: missing || keyword === "pattern" ? wordingOf(keyword) : error,
        stack: error,
      };
    });
}

function wordingOf(keyword: string): string {
  return keyword === "required" ? "This is needed." : "This does not have the form that is asked for.";
}
