// The form of a prompt, made from the JSON Schema of a provider.
// Not from the package's index, which also loads a registry for tests, with the validator that our pages forbid.
import Form, { type IChangeEvent } from "@rjsf/core/lib/components/Form.js";
import type {
  ArrayFieldTitleProps,
  FieldProps,
  FieldTemplateProps,
  IconButtonProps,
  ObjectFieldTemplateProps,
  RJSFSchema,
  UiSchema,
  WidgetProps,
} from "@rjsf/utils";
import { Plus, Trash2 } from "lucide-react";
import { type FormEvent, type ReactNode, useMemo, useState } from "react";

import { validator } from "./validator";

/** A text that may be longer than this has room for several lines. */
const LONG_TEXT = 300;

interface Props {
  schema: RJSFSchema;
  value: unknown;
  onChange: (value: unknown) => void;
  onSubmit: (value: unknown) => void;
  children: ReactNode;
}

export function PromptForm({ schema, value, onChange, onSubmit, children }: Props) {
  const uiSchema = useMemo(() => uiOf(schema), [schema]);
  return (
    <Form
      className="prompt"
      schema={schema}
      uiSchema={uiSchema}
      formData={value}
      validator={validator}
      showErrorList={false}
      focusOnFirstError
      noHtml5Validate
      templates={TEMPLATES}
      widgets={WIDGETS}
      fields={FIELDS}
      // Each field says what is wrong with it; without this the form tells the console too.
      onError={() => {}}
      onChange={({ formData }: IChangeEvent) => onChange(formData)}
      onSubmit={({ formData }: IChangeEvent, event: FormEvent) => {
        event.preventDefault();
        onSubmit(formData);
      }}
    >
      {children}
    </Form>
  );
}

/** A prompt to begin with: the schema's own examples for what must be there. */
export function exampleOf(schema: RJSFSchema): Record<string, unknown> {
  const properties = Object.entries(schema.properties ?? {});
  return Object.fromEntries(
    properties.flatMap(([name, property]) => {
      const [example] = (typeof property === "object" && (property.examples as unknown[])) || [];
      return schema.required?.includes(name) && example !== undefined ? [[name, example]] : [];
    }),
  );
}

function uiOf(schema: RJSFSchema): UiSchema {
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    if (typeof property !== "object") return [name, {}];
    if (property.type === "object" && !property.properties) return [name, { "ui:field": "json" }];
    if (property.type === "object") return [name, uiOf(property as RJSFSchema)];
    if (property.type === "array" && typeof property.items === "object" && !Array.isArray(property.items)) {
      return [name, { items: uiOf(property.items as RJSFSchema), "ui:options": { orderable: false } }];
    }
    const isLong = property.type === "string" && (property.maxLength ?? 0) > LONG_TEXT;
    return [name, isLong ? { "ui:widget": "textarea", "ui:options": { rows: 4 } } : {}];
  });
  return Object.fromEntries(fields) as UiSchema;
}

/** What must be filled in first; the rest behind a line that opens. */
function FieldsOfObject({ properties, schema, title, fieldPathId }: ObjectFieldTemplateProps) {
  const isInner = fieldPathId.path.length > 0;
  const needed = properties.filter(({ name }) => schema.required?.includes(name));
  const others = properties.filter(({ name }) => !schema.required?.includes(name));
  if (isInner) {
    return (
      <fieldset>
        {typeof fieldPathId.path.at(-1) === "string" && <legend>{labelOf(title)}</legend>}
        {properties.map(({ content }) => content)}
      </fieldset>
    );
  }
  return (
    <>
      {needed.map(({ content }) => content)}
      {others.length > 0 && (
        <details open={needed.length === 0}>
          <summary>{needed.length === 0 ? "Options" : "More options"}</summary>
          <div className="options">{others.map(({ content }) => content)}</div>
        </details>
      )}
    </>
  );
}

function Field(props: FieldTemplateProps) {
  const { id, label, children, errors, rawErrors, rawDescription, required, displayLabel, hidden, schema } = props;
  if (hidden) return <div hidden>{children}</div>;
  const isBoolean = schema.type === "boolean";
  return (
    <div className={rawErrors?.length ? "field wrong" : "field"}>
      {displayLabel && !isBoolean && (
        <label htmlFor={id}>
          {labelOf(label)}
          {required && <span className="needed"> needed</span>}
        </label>
      )}
      {children}
      {displayLabel && rawDescription && <small id={`${id}__description`}>{rawDescription}</small>}
      {errors}
    </div>
  );
}

/** `duration_s` is read as "Duration (s)". */
function labelOf(name: string): string {
  const [, text = name, unit] = /^(.+?)(?:_(s|ms|bpm|bytes))?$/.exec(name) ?? [];
  const words = text.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1) + (unit ? ` (${unit})` : "");
}

function TitleOfList({ title }: ArrayFieldTitleProps) {
  return title ? <legend>{labelOf(title)}</legend> : null;
}

function Checkbox({ id, value, label, onChange }: WidgetProps) {
  return (
    <label className="checkbox">
      <input id={id} type="checkbox" checked={value === true} onChange={({ target }) => onChange(target.checked)} />
      {labelOf(label)}
    </label>
  );
}

/** An object of which the schema says nothing more: written as JSON. */
function JsonField({ fieldPathId, formData, name, required, schema, onChange }: FieldProps) {
  const [text, setText] = useState(() => JSON.stringify(formData ?? {}, null, 2));
  const isWrong = parsed(text) === undefined;
  const id = fieldPathId.$id;
  return (
    <div className={isWrong ? "field wrong" : "field"}>
      <label htmlFor={id}>
        {labelOf(name)} (JSON)
        {required && <span className="needed"> needed</span>}
      </label>
      <textarea
        id={id}
        rows={6}
        spellCheck={false}
        value={text}
        onChange={({ target }) => {
          setText(target.value);
          onChange(parsed(target.value), fieldPathId.path);
        }}
      />
      {schema.description && <small>{schema.description}</small>}
      {isWrong && <small className="problem">This is no JSON object.</small>}
    </div>
  );
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function AddButton({ onClick, disabled }: IconButtonProps) {
  return (
    <button type="button" className="quiet" onClick={onClick} disabled={disabled}>
      <Plus aria-hidden /> Add
    </button>
  );
}

function RemoveButton({ onClick, disabled }: IconButtonProps) {
  return (
    <button type="button" className="quiet" onClick={onClick} disabled={disabled} aria-label="Remove">
      <Trash2 aria-hidden />
    </button>
  );
}

const TEMPLATES = {
  ObjectFieldTemplate: FieldsOfObject,
  FieldTemplate: Field,
  ArrayFieldTitleTemplate: TitleOfList,
  ButtonTemplates: { AddButton, RemoveButton },
};
const WIDGETS = { CheckboxWidget: Checkbox };
const FIELDS = { json: JsonField };
