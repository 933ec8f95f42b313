// Runs after huggingface-jinja, whose declarations it sees, and mends where that library differs from Jinja2 as transformers uses it
// (trim_blocks, lstrip_blocks, loop controls, an immutable sandbox). Each change says what Jinja2 does.

// ---- the source: raw is written as it stands; line ends are \n; {%+ keeps the spaces in front of a tag, +%} the line end behind it
const RAW = /(^[ \t]+)?\{%([-+]?)\s*raw\s*(-?)%\}(.*?)\{%([-+]?)\s*endraw\s*([-+]?)%\}(\n?)/gms;
const verbatim = (_, indent = "", before, after, text, endBefore, endAfter, end) => {   // what stands in raw becomes the value of an expression
  if (after === "-") text = text.trimStart();
  if (endBefore === "-") text = text.trimEnd();
  else if (endBefore === "") text = text.replace(/\n[ \t]+$/, "\n");
  const literal = JSON.stringify(text).replace(/[{}%#]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return `${before === "" ? "" : indent}{{${before === "-" ? "-" : ""} ${literal} ${endAfter === "-" ? "-" : ""}}}${endAfter === "" ? "" : end}`;
};
preprocess = function (template) {
  return template
    .replace(/\r\n?/g, "\n")
    .replace(/\n$/, "")
    .replace(RAW, verbatim)
    .replace(/^[ \t]+(?=\{[%#](?!\+))/gm, "")
    .replace(/(^|[^+])([%#]\})\n/g, "$1$2")
    .replace(/\{%\+/g, "{%")
    .replace(/\+%\}/g, "%}")
    .replace(/\{%(-?)\s*generation\s*(-?)%\}/g, "{%$1 if true $2%}")   // transformers' mark of the answers: what stands in it is written
    .replace(/\{%(-?)\s*endgeneration\s*(-?)%\}/g, "{%$1 endif $2%}");
};

// The library tests each character with a regular expression; these do the same in less time.
isInteger = (c) => c >= "0" && c <= "9";
isWord = (c) => (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || c === "_" || isInteger(c);
isWhitespace = (c) => c === " " || (c >= "\t" && c <= "\r") || c === "\u00a0";

// ---- how Python writes values
const quoted = (s) => {
  const q = s.includes("'") && !s.includes('"') ? '"' : "'";
  return q + s.replace(/[\\\n\r\t]|['"]/g, (c) => c === "\n" ? "\\n" : c === "\r" ? "\\r" : c === "\t" ? "\\t" : c === "\\" || c === q ? "\\" + c : c) + q;
};
const repr = (value) => value instanceof StringValue ? quoted(value.value) : value.toString();
const entries = (map) => "{" + Array.from(map, ([key, value]) => quoted(key) + ": " + repr(value)).join(", ") + "}";
BooleanValue.prototype.toString = function () { return this.value ? "True" : "False"; };
NullValue.prototype.toString = () => "None";
UndefinedValue.prototype.toString = () => "";
ArrayValue.prototype.toString = function () { return "[" + this.value.map(repr).join(", ") + "]"; };
TupleValue.prototype.toString = function () { return "(" + this.value.map(repr).join(", ") + (this.value.length === 1 ? ",)" : ")"); };
ObjectValue.prototype.toString = function () { return entries(this.value); };
const json = toJSON;
toJSON = (value, ...rest) => value instanceof FloatValue ? value.toString() : json(value, ...rest);
ObjectValue.prototype.items = function () { return new ArrayValue(Array.from(this.value, ([key, value]) => new TupleValue([new StringValue(key), value]))); };

// ---- texts: characters are code points, spaces are Python's, strip takes the characters to drop
const SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";
const strip = (text, chars, left, right) => {
  const set = chars === undefined || chars instanceof NullValue ? SPACES : chars.value;
  let start = 0, end = text.length;
  while (left && start < end && set.includes(text[start])) start++;
  while (right && end > start && set.includes(text[end - 1])) end--;
  return new StringValue(text.slice(start, end));
};
const count = (text) => { let n = 0; for (const _ of text) n++; return n; };
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1).toLowerCase();
const splitLines = (text) => { const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/); if (lines.at(-1) === "") lines.pop(); return lines; };
const texts = (list) => new ArrayValue(list.map((text) => new StringValue(text)));
titleCase = (text) => text.replace(/\p{L}+/gu, capitalized);

const stringMethods = {
  strip: (text, chars) => strip(text, chars, true, true),
  lstrip: (text, chars) => strip(text, chars, true, false),
  rstrip: (text, chars) => strip(text, chars, false, true),
  capitalize: (text) => new StringValue(capitalized(text)),
  removeprefix: (text, prefix) => new StringValue(prefix.value && text.startsWith(prefix.value) ? text.slice(prefix.value.length) : text),
  removesuffix: (text, suffix) => new StringValue(suffix.value && text.endsWith(suffix.value) ? text.slice(0, -suffix.value.length) : text),
  find: (text, part) => { const at = text.indexOf(part.value); return new IntegerValue(at < 0 ? at : count(text.slice(0, at))); },
  count: (text, part) => new IntegerValue(text.split(part.value).length - 1),
  join: (text, list) => new StringValue(list.value.map((item) => item.value).join(text)),
  splitlines: (text) => texts(splitLines(text)),
  rsplit: (text, separator, limit) => {
    const parts = text.split(separator.value), most = limit === undefined ? -1 : limit.value;
    return texts(most < 0 || parts.length <= most + 1 ? parts : [parts.slice(0, parts.length - most).join(separator.value), ...parts.slice(parts.length - most)]);
  },
};
const stringBuiltins = Object.getOwnPropertyDescriptor(StringValue.prototype, "builtins").get;
Object.defineProperty(StringValue.prototype, "builtins", {
  get() {
    const methods = stringBuiltins.call(this);
    for (const name in stringMethods) methods.set(name, new FunctionValue((args) => stringMethods[name](this.value, ...args)));
    methods.delete("length");   // a text has no such attribute
    return methods;
  },
});

// ---- equality compares types, too, and looks into lists and mappings; an undefined value equals only another
const isNumber = (value) => value instanceof IntegerValue || value instanceof FloatValue || value instanceof BooleanValue;
const equal = (a, b) => {
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (a.type !== b.type) return false;
  if (a instanceof ArrayValue) return a.value.length === b.value.length && a.value.every((item, i) => equal(item, b.value[i]));
  if (a instanceof ObjectValue) return a.value.size === b.value.size && Array.from(a.value).every(([key, item]) => b.value.has(key) && equal(item, b.value.get(key)));
  return a.value === b.value;
};
const contains = (container, item) => {
  if (container instanceof UndefinedValue) return false;
  if (container instanceof StringValue && item instanceof StringValue) return container.value.includes(item.value);
  if (container instanceof ArrayValue) return container.value.some((each) => equal(each, item));
  if (container instanceof ObjectValue) return container.value.has(item.value);
  throw new Error(`'in' does not work with ${item.type} and ${container.type}`);
};
const number = (a, b, value) => a instanceof FloatValue || b instanceof FloatValue ? new FloatValue(value) : new IntegerValue(value);
const repeated = (text, times) => {
  if (text.length * times > 1e8) throw new Error(`a text of ${text.length} characters ${times} times is too long`);
  return new StringValue(text.repeat(Math.max(0, times)));
};
const product = (a, b) => {
  if (a instanceof StringValue && b instanceof IntegerValue) return repeated(a.value, b.value);
  if (b instanceof StringValue && a instanceof IntegerValue) return repeated(b.value, a.value);
  if (isNumber(a) && isNumber(b)) return number(a, b, a.value * b.value);
  throw new Error(`'*' does not work with ${a.type} and ${b.type}`);
};
const remainder = (a, b) => {
  if (!isNumber(a) || !isNumber(b) || Number(b.value) === 0) throw new Error(`'%' does not work with ${a.type} and ${b.type === "IntegerValue" ? b.value : b.type}`);
  return number(a, b, ((a.value % b.value) + b.value) % b.value);   // of the sign of the second
};
const operators = {
  "==": (a, b) => new BooleanValue(equal(a, b)),
  "!=": (a, b) => new BooleanValue(!equal(a, b)),
  "~": (a, b) => new StringValue(a.toString() + b.toString()),
  "*": product,
  "%": remainder,
  "in": (a, b) => new BooleanValue(contains(b, a)),
  "not in": (a, b) => new BooleanValue(!contains(b, a)),
};
const binaryExpression = Interpreter.prototype.evaluateBinaryExpression;
Interpreter.prototype.evaluateBinaryExpression = function (node, scope) {
  const operator = operators[node.operator.value];
  return operator ? operator(this.evaluate(node.left, scope), this.evaluate(node.right, scope)) : binaryExpression.call(this, node, scope);
};

// ---- tests
const tests = Environment.TESTS;
const compared = (accept) => (a, b) => accept(compareRuntimeValues(a, b, true));
for (const name of ["equalto", "eq", "=="]) tests.set(name, equal);
for (const name of ["ne", "!="]) tests.set(name, (a, b) => !equal(a, b));
for (const name of ["gt", ">", "greaterthan"]) tests.set(name, compared((order) => order > 0));
for (const name of ["lt", "<", "lessthan"]) tests.set(name, compared((order) => order < 0));
for (const name of ["ge", ">="]) tests.set(name, compared((order) => order >= 0));
for (const name of ["le", "<="]) tests.set(name, compared((order) => order <= 0));
tests.set("in", (a, b) => contains(b, a));
tests.set("float", (a) => a instanceof FloatValue);
tests.set("iterable", (a) => a instanceof ArrayValue || a instanceof ObjectValue || a instanceof StringValue || a instanceof UndefinedValue);

// ---- filters
const items = (value) => {
  if (value instanceof ArrayValue) return value.value;
  if (value instanceof StringValue) return Array.from(value.value, (c) => new StringValue(c));
  if (value instanceof ObjectValue) return value.keys().value;
  if (value instanceof UndefinedValue) return [];
  throw new Error(`a ${value.type} cannot be gone through item by item`);
};
const attribute = (item, name) => getAttributeValue(item, String(name.value));
const chosen = (test) => {
  if (!test) return (value) => value.__bool__().value;
  const found = tests.get(test.value);
  if (!found) throw new Error(`No test named '${test.value}'`);
  return found;
};
const select = (keep, byAttribute) => (value, args) => {
  const [name, ...rest] = byAttribute ? args : [null, ...args];
  const test = chosen(rest[0]);
  return new ArrayValue(items(value).filter((item) => test(byAttribute ? attribute(item, name) : item, ...rest.slice(1)) === keep));
};
const otherwise = (value, args, named) => {
  const alsoFalse = args[1] ?? named.get("boolean");
  const missing = value instanceof UndefinedValue || (alsoFalse !== undefined && alsoFalse.__bool__().value && !value.__bool__().value);
  return missing ? args[0] ?? named.get("default_value") ?? new StringValue("") : value;
};
const length = (value) => new IntegerValue(value instanceof ObjectValue ? value.value.size : value instanceof StringValue ? count(value.value) : items(value).length);
const filters = {
  length, count: length, default: otherwise, d: otherwise,
  trim: (value, args, named) => strip(value.toString(), args[0] ?? named.get("chars"), true, true),
  string: (value) => new StringValue(value.toString()),
  list: (value) => new ArrayValue(items(value)),
  title: (value) => new StringValue(value.toString().split(/([-\s({[<]+)/).map(capitalized).join("")),   // not as the method of this name
  items: (value) => value instanceof UndefinedValue ? new ArrayValue([]) : value.items(),
  dictsort: (value, args, named) =>
    new ArrayValue(value.builtins.get("dictsort").value([...args, new KeywordArgumentsValue(named)]).value.map((pair) => new TupleValue(pair.value))),
  first: (value) => items(value)[0] ?? new UndefinedValue(),
  last: (value) => items(value).at(-1) ?? new UndefinedValue(),
  join: (value, args, named) => {
    const name = args[1] ?? named.get("attribute");
    return new StringValue(items(value).map((item) => (name ? attribute(item, name) : item).toString()).join((args[0] ?? named.get("d") ?? "").toString()));
  },
  select: select(true, false), reject: select(false, false), selectattr: select(true, true), rejectattr: select(false, true),
  map: function (value, args, named, scope) {
    const name = named.get("attribute"), missing = named.get("default");
    return new ArrayValue(items(value).map((item) => {
      if (!name) return apply(this, item, args[0].value, args.slice(1), named, scope);
      const found = attribute(item, name);
      return found instanceof UndefinedValue && missing !== undefined ? missing : found;
    }));
  },
};
const applyFilter = Interpreter.prototype.applyFilter;
const apply = (interpreter, value, name, args, named, scope) => {
  if (Object.hasOwn(filters, name)) return filters[name].call(interpreter, value, args, named, scope);
  if (args.length + named.size > 0) throw new Error(`the filter '${name}' inside map takes no arguments here`);
  return applyFilter.call(interpreter, value, new Identifier(name), scope);
};
Interpreter.prototype.applyFilter = function (value, filter, scope) {
  const name = filter.type === "Identifier" ? filter.value : filter.callee.value;
  if (!Object.hasOwn(filters, name)) return applyFilter.call(this, value, filter, scope);
  const [args, named] = filter.type === "Identifier" ? [[], new Map()] : this.evaluateArguments(filter.args, scope);
  return filters[name].call(this, value, args, named, scope);
};

// ---- an attribute of an undefined value is an error, a missing one of anything else is undefined
const named = (node) => {
  const name = node.value ?? node.property?.value;
  return typeof name === "string" ? `'${name}'` : typeof name === "number" ? `item ${name} of ${named(node.object)}` : "a value";
};
Interpreter.prototype.evaluateMemberExpression = function (node, scope) {
  const object = this.evaluate(node.object, scope);
  if (node.computed && node.property.type === "SliceExpression") return this.evaluateSliceExpression(object, node.property, scope);
  const key = node.computed ? this.evaluate(node.property, scope).value : node.property.value;
  if (object instanceof UndefinedValue) throw new Error(`${named(node.object)} is undefined`);
  if (object instanceof ObjectValue || object instanceof NamespaceValue) return object.value.get(key) ?? object.builtins.get(key) ?? new UndefinedValue();
  if (typeof key !== "number") return object.builtins.get(key) ?? new UndefinedValue();
  return object instanceof ArrayValue || object instanceof StringValue ? items(object).at(key) ?? new UndefinedValue() : new UndefinedValue();
};

// ---- None is written out; what was written before a break or continue stays
const silent = new Set(["Set", "Macro", "Comment"]);
Interpreter.prototype.evaluateBlock = function (statements, scope) {
  let result = "";
  try {
    for (const statement of statements) {
      const value = this.evaluate(statement, scope);
      if (!silent.has(statement.type)) result += value.toString();
    }
  } catch (stop) {
    if (stop instanceof BreakControl || stop instanceof ContinueControl) stop.written = result + (stop.written ?? "");
    throw stop;
  }
  return new StringValue(result);
};

// ---- each turn of a loop has a scope of its own; else belongs to a loop of which no turn came to its end
Interpreter.prototype.evaluateFor = function (node, environment) {
  const bind = (scope, value) => {
    if (node.loopvar.type === "Identifier") return scope.setVariable(node.loopvar.value, value);
    const parts = items(value), names = node.loopvar.value;
    if (parts.length !== names.length) throw new Error(`${names.length} names for ${parts.length} values in a for loop`);
    names.forEach((name, i) => scope.setVariable(name.value, parts[i]));
  };
  const filtered = node.iterable.type === "SelectExpression";
  let turns = items(this.evaluate(filtered ? node.iterable.lhs : node.iterable, environment));
  if (filtered) turns = turns.filter((value) => {
    const scope = new Environment(environment);
    bind(scope, value);
    return this.evaluate(node.iterable.test, scope).__bool__().value;
  });
  let result = "", ended = false;
  for (let i = 0; i < turns.length; i++) {
    const scope = new Environment(environment);
    scope.setVariable("loop", new ObjectValue(new Map([
      ["index", new IntegerValue(i + 1)], ["index0", new IntegerValue(i)],
      ["revindex", new IntegerValue(turns.length - i)], ["revindex0", new IntegerValue(turns.length - i - 1)],
      ["first", new BooleanValue(i === 0)], ["last", new BooleanValue(i === turns.length - 1)], ["length", new IntegerValue(turns.length)],
      ["previtem", turns[i - 1] ?? new UndefinedValue()], ["nextitem", turns[i + 1] ?? new UndefinedValue()],
      ["cycle", new FunctionValue((args) => args[i % args.length])],
    ])));
    bind(scope, turns[i]);
    try {
      result += this.evaluateBlock(node.body, scope).value;
      ended = true;
    } catch (stop) {
      if (!(stop instanceof BreakControl || stop instanceof ContinueControl)) throw stop;
      result += stop.written ?? "";
      if (stop instanceof BreakControl) break;
    }
  }
  if (!ended) result += this.evaluateBlock(node.defaultBlock, environment).value;
  return new StringValue(result);
};

// ---- a macro sees the variables of the place where it stands, not of the place that calls it
Interpreter.prototype.evaluateMacro = function (node, environment) {
  const special = findAccessedSpecialMacroArguments(node.args, node.body);
  environment.setVariable(node.name.value, new FunctionValue((args, caller) => {
    const scope = new Environment(environment);
    if (caller.variables.has("caller")) scope.setVariable("caller", caller.variables.get("caller"));
    this.bindMacroArguments(`'${node.name.value}'`, node.args, special, args, scope);
    return this.evaluateBlock(node.body, scope);
  }));
  return new NullValue();
};

// ---- what a template may call; a range has the sandbox's limit
class RaisedByTemplate extends Error {}
const globals = setupGlobals, endlessRange = range;
range = (start, stop, step = 1) => {
  if (Math.abs(((stop ?? start) - (stop === undefined ? 0 : start)) / step) > 100000) throw new Error("range() is limited to 100000 items");
  return endlessRange(start, stop, step);
};
setupGlobals = (scope) => {
  globals(scope);
  scope.setVariable("raise_exception", new FunctionValue((args) => { throw new RaisedByTemplate(args[0].toString()); }));
  scope.setVariable("strftime_now", new FunctionValue((args) => new StringValue(formatNow(args[0].value))));
};

// ---- Jinja that the library does not know is said by its name; some of it would be read as something else
class Unsupported extends Error {}
const STATEMENTS = new Set(["autoescape", "block", "extends", "from", "import", "include", "with"]);
const AFTER_TEST = new Set(["and", "or", "not", "is", "in", "if", "else"]);
const argumentTypes = new Set([TOKEN_TYPES.NumericLiteral, TOKEN_TYPES.StringLiteral, TOKEN_TYPES.OpenParen, TOKEN_TYPES.OpenSquareBracket]);
const isWordToken = (token) => token?.type === TOKEN_TYPES.Identifier;
const isArgument = (token) => isWordToken(token) ? !AFTER_TEST.has(token.value) : argumentTypes.has(token?.type);
const cut = tokenize;
tokenize = (source, options) => {
  const tokens = cut(source, options);
  tokens.forEach((token, i) => {
    const next = tokens[i + 1];
    if (!isWordToken(next)) return;
    if (token.type === TOKEN_TYPES.OpenStatement && STATEMENTS.has(next.value)) throw new Unsupported(`{% ${next.value} %}`);
    if (token.type === TOKEN_TYPES.NumericLiteral && /^(e\d*|_\d+|[box][\da-f_]+)$/i.test(next.value)) throw new Unsupported(`a number written like ${token.value}${next.value}`);
    if (next.value === "recursive" && tokens[i + 2]?.type === TOKEN_TYPES.CloseStatement) throw new Unsupported("a recursive loop");
    if (!isWordToken(token) || token.value !== "is" || tokens[i - 1]?.type === TOKEN_TYPES.Dot) return;
    const test = next.value === "not" ? i + 2 : i + 1;
    if (isArgument(tokens[test + 1])) throw new Unsupported(`the test '${tokens[test].value}' with an argument`);
  });
  return tokens;
};

// ---- the door: what came of it, and the text
let compiled;
function compileTemplate(source) {
  try {
    compiled = new Template(source);
    return ["text", ""];
  } catch (error) {
    if (error instanceof Unsupported) return ["unsupported", error.message];
    const expected = /^Parser Error: ([^.]+)/.exec(error.message)?.[1];
    return ["syntax", error instanceof SyntaxError ? error.message : expected ?? "it ends inside a tag or a block"];
  }
}
function renderTemplate(variables) {
  try {
    return ["text", compiled.render(JSON.parse(variables))];
  } catch (error) {
    const [, test, filter] = /^(?:Unknown test: |No test named ')(\w+)|^Unknown \w+ filter: (\w+)/.exec(error.message) ?? [];
    if ((test ?? filter) && !(error instanceof RaisedByTemplate)) return ["unsupported", test ? `the test '${test}'` : `the filter '${filter}'`];
    return [error instanceof RaisedByTemplate ? "raised" : "failed", error.message];
  }
}
