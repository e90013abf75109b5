// Reads schemas: as much of JSON Schema as the documents use.

/** Follows references, and puts together what a schema is made of. */
export function resolve(document, schema) {
  if (schema.$ref) {
    const target = schema.$ref.split("/").slice(1).reduce((value, name) => value[name], document);
    return resolve(document, { ...target, ...(schema.description && { description: schema.description }) });
  }
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => resolve(document, part));
    return {
      ...Object.assign({}, ...parts),
      properties: Object.assign({}, ...parts.map((part) => part.properties)),
      required: parts.flatMap((part) => part.required ?? []),
    };
  }
  const other = schema.anyOf?.find((option) => option.type !== "null");
  if (other) {
    const nullable = schema.anyOf.some((option) => option.type === "null");
    return { ...resolve(document, other), nullable, ...(schema.description && { description: schema.description }) };
  }
  if (Array.isArray(schema.type)) return { ...schema, type: schema.type.find((type) => type !== "null"), nullable: true };
  return schema;
}

/** The type of a field in words, with its limits. */
export function typeOf(document, schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const options = schema.enum ?? schema.oneOf?.map((option) => option.const);
  if (options) return options.map((option) => JSON.stringify(option)).join(" | ");
  if (schema.type === "array") return `list of ${typeOf(document, resolve(document, schema.items))}`;
  const { minLength, maxLength, minimum, maximum } = schema;
  const limits = [
    schema.format,
    minLength !== undefined && maxLength !== undefined && `${minLength} to ${maxLength} characters`,
    minLength === undefined && maxLength !== undefined && `at most ${maxLength} characters`,
    minimum !== undefined && (maximum !== undefined ? `${minimum} to ${maximum}` : `at least ${minimum}`),
    schema.default !== undefined && `default ${schema.default}`,
  ].filter(Boolean);
  return [schema.type, limits.length > 0 && `(${limits.join(", ")})`, schema.nullable && "or null"].filter(Boolean).join(" ");
}

/** The fields of a schema, those that are required first. */
export function fieldsOf(document, schema) {
  const { properties = {}, required = [] } = resolve(document, schema);
  const fields = Object.entries(properties).map(([name, property]) => ({ name, field: resolve(document, property), isRequired: required.includes(name) }));
  return [...fields.filter(({ isRequired }) => isRequired), ...fields.filter(({ isRequired }) => !isRequired)];
}

export const nameOf = (reference) => reference.$ref.split("/").at(-1);
