#!/usr/bin/env python3
"""Writes src/fhir/tables/*.txt from the official FHIR R4 (4.0.1) definitions. Run by hand.

    tools/r4-tables.py DEFINITIONS [OUTPUT]

DEFINITIONS is the folder `package` of HL7's npm package hl7.fhir.r4.examples 4.0.1 (CC0), which holds
every StructureDefinition, ValueSet and CodeSystem as a file of its own and the base search parameters
in Bundle-searchParams.json. Others distribute changed copies (with elements of R5, for instance): do
not use those. OUTPUT is src/fhir/tables unless told otherwise.

elements.txt     what each type may hold
    = TYPE BASE                 a type or backbone path; BASE: R DomainResource's base, D, E, B or - (none)
    NAME MIN MAX TYPES [!SET] [>KINDS]
                                an element; `[x]` marks a choice, TYPES are separated by commas;
                                @PATH is a backbone, #PATH a content reference; SET is a required
                                binding to a closed list of codes; KINDS are the resource types
                                that a Reference here may name (separated by commas; none: any)
    % SET CODE CODE ...         the codes of a set (spaces in codes do not occur)
    & SET SYSTEM CODE CODE ...  the codings of a set that is bound to a CodeableConcept; one line
                                for each system
invariants.txt   constraints that R4 puts on its types and elements
    PATH KEY SEVERITY EXPRESSION HUMAN
                                separated by tabs; `trace(...)` is left out of the expressions
parameters.txt   search parameters, with their FHIRPath compiled to steps
    = KIND
    CODE TYPE TARGETS PROGRAM   TARGETS separated by commas or `-`
compartments.txt which reference parameters put a resource into a compartment
    = COMPARTMENT
    KIND CODE CODE ...
summary.txt      which elements `_summary=true` keeps
    TYPE NAME NAME ...          of a type or backbone path, inherited ones included, `[x]` left out
unsupported.txt  search parameters whose expression cannot be compiled, one KIND.CODE a line

A PROGRAM is `ALT|ALT|...`, an ALT is `STEP.STEP....:TYPE` where TYPE is the R4 type found there.
A STEP is a JSON key, followed by any of
    [KEY=VALUE]   keep objects whose KEY is VALUE           where(system='phone')
    [N]           keep the Nth                              entry[0]
    [>KIND]       keep References that name a KIND          where(resolve() is Patient)
`!A,B` as the only step is true where one of the keys A, B exists and is not false.
A composite is `STEPS{ALT|ALT;ALT|ALT}`, its halves relative to STEPS (empty: the resource), each half
preceded by its search type and a blank-free `~`.
"""
import glob
import json
import os
import re
import sys

PRIMITIVE_SYSTEM = "http://hl7.org/fhirpath/System."
BASES = {"Element": "E", "BackboneElement": "B", "Resource": "R", "DomainResource": "D"}
MAX_CODES = 1200


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def load(folder, kind):
    """All resources of a type, in the order of their file names."""
    return [read(path) for path in sorted(glob.glob(os.path.join(folder, kind + "-*.json")))]


def type_codes(element):
    """The type names of an element, with System.* resolved to the FHIR primitive."""
    path = element["path"]
    if path == "Resource.id" or (element.get("base", {}).get("path") == "Resource.id"):
        return ["id"]
    out = []
    for kind in element.get("type", []):
        code = kind["code"]
        if code.startswith(PRIMITIVE_SYSTEM):
            urls = [e.get("valueUrl") for e in kind.get("extension", [])]
            code = next((u for u in urls if u), "string")
        if code not in out:
            out.append(code)
    return out


def reference_kinds(element):
    """The resource types that a Reference here may name, in the definition's order; empty: any."""
    out = []
    for kind in element.get("type", []):
        if kind["code"] == "Reference":
            out += [url.rsplit("/", 1)[-1] for url in kind.get("targetProfile", ["Resource"])]
    return [] if "Resource" in out else list(dict.fromkeys(out))


class CodeSets:
    """Value sets that are plain enumerations."""

    def __init__(self, folder):
        self.sets = {r["url"]: r for r in load(folder, "ValueSet") if "url" in r}
        self.systems = {r["url"]: r for r in load(folder, "CodeSystem") if "url" in r}
        self.used = {}
        self.coded = {}

    def codes(self, canonical):
        url = canonical.split("|")[0]
        found = self.sets.get(url)
        if not found or found.get("compose", {}).get("exclude"):
            return None
        out = []
        for include in found.get("compose", {}).get("include", []):
            if "filter" in include or "valueSet" in include:
                return None
            if "concept" in include:
                out += [c["code"] for c in include["concept"]]
                continue
            system = self.systems.get(include.get("system"))
            if not system or system.get("content") != "complete":
                return None
            out += list(self.walk(system.get("concept", [])))
        if not out or len(out) > MAX_CODES or any(re.search(r"\s", c) for c in out):
            return None
        return sorted(set(out))

    def codings(self, canonical):
        """The name of a closed set, its codes kept by system."""
        if self.codes(canonical) is None:
            return None
        found = self.sets[canonical.split("|")[0]]
        by_system = {}
        for include in found["compose"]["include"]:
            concepts = include.get("concept") or self.systems[include["system"]].get("concept", [])
            by_system.setdefault(include["system"], set()).update(self.walk(concepts))
        name = canonical.split("|")[0].rsplit("/", 1)[-1]
        assert self.coded.get(name, by_system) == by_system, name
        self.coded[name] = by_system
        return name

    def walk(self, concepts):
        for concept in concepts:
            yield concept["code"]
            yield from self.walk(concept.get("concept", []))

    def name(self, canonical):
        codes = self.codes(canonical)
        if codes is None:
            return None
        name = canonical.split("|")[0].rsplit("/", 1)[-1]
        assert self.used.get(name, codes) == codes, name
        self.used[name] = codes
        return name


class Elements:
    """The element table, also used to find the type at the end of a path."""

    def __init__(self, folder):
        self.sets = CodeSets(folder)
        self.nodes = {}
        self.kinds = []
        self.primitives = []
        for definition in load(folder, "StructureDefinition"):
            if definition.get("derivation") == "constraint" or definition["kind"] == "logical":
                continue
            if definition["kind"] == "primitive-type":
                self.primitives.append(definition["name"])
                continue
            self.add(definition)

    def add(self, definition):
        name = definition["type"]
        if definition["kind"] == "resource" and not definition["abstract"]:
            self.kinds.append(name)
        elements = definition["snapshot"]["element"]
        base = (definition.get("baseDefinition") or "-").rsplit("/", 1)[-1]
        self.nodes[name] = {"base": base, "rows": {}}
        for element in elements[1:]:
            self.element(name, element)

    def element(self, root, element):
        path = element["path"]
        parent, name = path.rsplit(".", 1)
        owner = element.get("base", {}).get("path", path).split(".")[0]
        types = type_codes(element)
        # Backbone elements have a node of their own.
        if types and types[0] in ("BackboneElement", "Element") and "contentReference" not in element:
            self.nodes[path] = {"base": types[0], "rows": {}}
            types = ["@" + path]
        if "contentReference" in element:
            types = ["#" + element["contentReference"].split("#")[-1]]
        if owner in BASES and owner != root:
            return
        row = {"min": element["min"], "max": element["max"], "types": types, "set": None, "targets": set(),
               "summary": element.get("isSummary", False)}
        for kind in element.get("type", []):
            row["targets"] |= {url.rsplit("/", 1)[-1] for url in kind.get("targetProfile", [])}
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and types == ["code"]:
            row["set"] = self.sets.name(binding["valueSet"])
        if binding.get("strength") == "required" and types == ["CodeableConcept"]:
            row["set"] = self.sets.codings(binding["valueSet"])
        row["kinds"] = reference_kinds(element)
        self.nodes[parent]["rows"][name] = row

    def rows(self, path):
        """All rows of a node, inherited ones included."""
        out = {}
        while path in self.nodes:
            for name, row in self.nodes[path]["rows"].items():
                out.setdefault(name, row)
            path = self.nodes[path]["base"]
        return out

    def node_of(self, kind):
        return kind[1:] if kind[0] in "@#" else kind

    def field(self, kind, name):
        """[(json key, type)] of the element `name` on `kind`."""
        rows = self.rows(self.node_of(kind))
        if name in rows:
            return [(name, t) for t in rows[name]["types"]]
        if name + "[x]" in rows:
            return [(name + t[0].upper() + t[1:], t) for t in rows[name + "[x]"]["types"]]
        return []

    def targets(self, kind, steps):
        """What a reference at the end of compiled steps may point at; empty: anything."""
        resolved = re.search(r"\[>(\w+)\]$", steps)
        if resolved:
            return {resolved[1]}
        row = None
        for step in re.sub(r"\[[^\]]*\]", "", steps).split("."):
            rows = self.rows(self.node_of(kind))
            for name, candidate in rows.items():
                keys = {key: t for key, t in self.field(kind, name.removesuffix("[x]"))}
                if step in keys:
                    row, next_kind = candidate, keys[step]
            kind = next_kind
        return row["targets"] if row else set()

    def write(self, folder):
        lines = ["# Written by tools/r4-tables.py from FHIR R4 4.0.1; not by hand."]
        for name in sorted(self.nodes):
            node = self.nodes[name]
            base = {"Quantity": "Quantity", "-": "-"}.get(node["base"], BASES.get(node["base"], "-"))
            flag = " resource" if name in self.kinds else ""
            lines.append(f"= {name} {base}{flag}")
            for element, row in node["rows"].items():
                bound = f" !{row['set']}" if row["set"] else ""
                kinds = f" >{','.join(row['kinds'])}" if row["kinds"] else ""
                lines.append(f"{element} {row['min']} {row['max']} {','.join(row['types'])}{bound}{kinds}")
        for name, codes in sorted(self.sets.used.items()):
            lines.append("% " + name + " " + " ".join(codes))
        for name, systems in sorted(self.sets.coded.items()):
            for system, codes in sorted(systems.items()):
                lines.append(f"& {name} {system} " + " ".join(sorted(codes)))
        with open(os.path.join(folder, "elements.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def write_summary(self, folder):
        lines = ["# Written by tools/r4-tables.py from FHIR R4 4.0.1; not by hand."]
        for name in sorted(self.nodes):
            kept = [n.removesuffix("[x]") for n, row in self.rows(name).items() if row["summary"]]
            if kept:
                lines.append(" ".join([name] + kept))
        with open(os.path.join(folder, "summary.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def invariants(folder, output):
    lines = ["# Written by tools/r4-tables.py from FHIR R4 4.0.1; not by hand."]
    for definition in load(folder, "StructureDefinition"):
        if definition.get("derivation") == "constraint" or definition["kind"] == "logical":
            continue
        for element in definition["differential"]["element"]:
            for rule in element.get("constraint", []):
                expression = re.sub(r"\.trace\('[^']*'\)", "", rule["expression"])
                columns = [element["path"], rule["key"], rule["severity"], expression, rule["human"]]
                lines.append("\t".join(re.sub(r"\s+", " ", column).strip() for column in columns))
    with open(os.path.join(output, "invariants.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


class Uncompilable(Exception):
    pass


def split(text, separator):
    """Splits at `separator` outside parentheses, brackets and quotes."""
    out, depth, quoted, current = [], 0, False, ""
    for char in text:
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        if char == separator and depth == 0 and not quoted:
            out.append(current.strip())
            current = ""
        else:
            current += char
    return out + [current.strip()]


# What a search type can index. <https://hl7.org/fhir/R4/search.html#table>
FITS = {
    "token": "code Coding CodeableConcept Identifier ContactPoint boolean string id uri markdown".split(),
    "string": "string markdown HumanName Address code uri Annotation".split(),
    "date": "date dateTime instant Period Timing".split(),
    "number": "integer decimal positiveInt unsignedInt Range".split(),
    "quantity": "Quantity Age Duration Count Distance SimpleQuantity Money Range SampledData".split(),
    "reference": "Reference canonical uri url oid uuid Resource".split(),
    "uri": "uri url canonical oid uuid".split(),
}


class Compiler:
    def __init__(self, elements):
        self.elements = elements
        self.dropped = set()

    def compile(self, kind, expression):
        """[(steps, type)] of a FHIRPath on `kind`; other kinds' branches are left out."""
        out = []
        for branch in split(expression, "|"):
            out += self.branch(kind, branch)
        return out

    def branch(self, kind, text):
        while text.startswith("(") and text.endswith(")") and self.closes(text):
            text = text[1:-1].strip()
        exists = re.fullmatch(r"(\w+)\.(\w+)\.exists\(\) and \1\.\2 != false", text)
        if exists:
            if exists[1] != kind:
                return []
            keys = [k for k, _ in self.elements.field(kind, exists[2])]
            return [("!" + ",".join(keys), "boolean")]
        cast = re.fullmatch(r"(.+) as (\w+)", text)
        if cast and " as " not in cast[1]:
            return self.narrow(self.branch(kind, cast[1]), cast[2])
        return self.path(kind, split(text, "."))

    def closes(self, text):
        depth = 0
        for index, char in enumerate(text):
            depth += char == "("
            depth -= char == ")"
            if depth == 0 and index < len(text) - 1:
                return False
        return True

    def narrow(self, found, kind):
        kind = {"DateTime": "dateTime"}.get(kind, kind)
        return [(steps, t) for steps, t in found if t == kind]

    def path(self, kind, parts):
        head = parts[0]
        if head.startswith("("):
            found = self.branch(kind, head)
        elif head in (kind, "Resource", "DomainResource"):
            found = [("", kind)]
        elif re.fullmatch(r"[A-Z]\w*", head) and head in self.elements.kinds:
            return []
        else:
            found = self.step([("", kind)], head)
        for part in parts[1:]:
            found = self.step(found, part)
        return found

    def step(self, found, part):
        if part.startswith("as(") or part.startswith("ofType("):
            return self.narrow(found, part[part.index("(") + 1:-1])
        equal = re.fullmatch(r"where\((\w+)\s*=\s*'([^']*)'\)", part)
        if equal:
            return [(f"{s}[{equal[1]}={equal[2]}]", t) for s, t in found]
        resolve = re.fullmatch(r"where\(resolve\(\) is (\w+)\)", part)
        if resolve:
            return [(f"{s}[>{resolve[1]}]", t) for s, t in found if t == "Reference"]
        extension = re.fullmatch(r"extension\('([^']*)'\)", part)
        if extension:
            return [(f"{s}{'.' if s else ''}extension[url={extension[1]}]", "Extension") for s, _ in found]
        nth = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", part)
        if not nth:
            raise Uncompilable(part)
        out = []
        for steps, kind in found:
            for key, next_kind in self.elements.field(kind, nth[1]):
                index = f"[{nth[2]}]" if nth[2] else ""
                out.append((f"{steps}{'.' if steps else ''}{key}{index}", next_kind))
        if not out:
            raise Uncompilable(part)
        return out

    def fit(self, search_type, found, label):
        out = []
        for steps, kind in found:
            if kind in FITS[search_type]:
                out.append(f"{steps}:{kind}")
            else:
                self.dropped.add(f"{label}: {steps}:{kind} is no {search_type}")
        return out


def parameters(folder, elements, output):
    compiler = Compiler(elements)
    bundle = read(os.path.join(folder, "Bundle-searchParams.json"))
    definitions = [entry["resource"] for entry in bundle["entry"]]
    by_url = {d["url"]: d for d in definitions}
    table, unsupported = {}, []
    for definition in definitions:
        # Ten for extensions of CodeSystem and ValueSet have no base: they belong to no type.
        for base in definition.get("base", []):
            try:
                program = compile_one(compiler, definition, base, by_url)
            except Uncompilable as error:
                program = None
                print(f"cannot compile {base}.{definition['code']}: {error}")
            if not program:
                unsupported.append(f"{base}.{definition['code']}")
                continue
            targets = target_list(elements, definition, base, program)
            line = f"{definition['code']} {definition['type']} {targets} {program}"
            table.setdefault(base, []).append(line)
    lines = ["# Written by tools/r4-tables.py from FHIR R4 4.0.1; not by hand."]
    for base in sorted(table):
        lines.append(f"= {base}")
        lines += sorted(table[base])
    with open(os.path.join(output, "parameters.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    with open(os.path.join(output, "unsupported.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(sorted(unsupported)) + "\n")
    for line in sorted(compiler.dropped):
        print("left out", line)
    print(sum(map(len, table.values())), "compiled,", len(unsupported), "not:", *sorted(unsupported))


def compartments(folder, output):
    lines = ["# Written by tools/r4-tables.py from FHIR R4 4.0.1; not by hand."]
    for definition in sorted(load(folder, "CompartmentDefinition"), key=lambda d: d["code"]):
        # There is an example of a definition too.
        if not definition["url"].startswith("http://hl7.org/fhir/CompartmentDefinition/"):
            continue
        if definition["id"] == "example":
            continue
        lines.append(f"= {definition['code']}")
        for resource in definition["resource"]:
            # `{def}` is the resource that the compartment is named after: it is in it in any case.
            codes = [code for code in resource.get("param", []) if code != "{def}"]
            if codes:
                lines.append(" ".join([resource["code"], *sorted(codes)]))
    with open(os.path.join(output, "compartments.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def target_list(elements, definition, base, program):
    """The declared targets that the elements allow: shared definitions declare too many."""
    declared = definition.get("target", [])
    if not declared or len(declared) > 100:
        return "*" if declared else "-"
    allowed = set()
    for alternative in program.split("|"):
        steps, kind = alternative.rsplit(":", 1)
        found = elements.targets(base, steps) if kind in ("Reference", "canonical") else set()
        allowed |= set(declared) if not found or "Resource" in found else found
    return ",".join(t for t in declared if t in allowed) or ",".join(declared)


def compile_one(compiler, definition, base, by_url):
    # The one special parameter that is built; its values are read by a function of its own.
    if (base, definition["code"]) == ("Location", "near"):
        return "position:Location.position"
    if "expression" not in definition or definition["type"] == "special":
        return None
    label = f"{base}.{definition['code']}"
    if definition["type"] != "composite":
        found = compiler.compile(base, definition["expression"])
        fitting = compiler.fit(definition["type"], found, label)
        return "|".join(dict.fromkeys(fitting)) or None
    if len(definition["component"]) != 2:
        return None
    out = []
    for steps, kind in compiler.compile(base, definition["expression"]):
        halves = []
        for component in definition["component"]:
            found = compiler.compile(kind, component["expression"])
            search_type = by_url[component["definition"]]["type"]
            # DocumentReference.relationship names its components the wrong way round.
            if all(k == "code" for _, k in found):
                search_type = "token"
            if all(k == "Reference" for _, k in found):
                search_type = "reference"
            halves.append(search_type + "~" + "|".join(compiler.fit(search_type, found, label)))
        out.append(steps + "{" + ";".join(halves) + "}")
    return "&".join(out) or None


def main():
    folder = sys.argv[1]
    output = sys.argv[2] if len(sys.argv) > 2 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "src", "fhir", "tables")
    elements = Elements(folder)
    elements.write(output)
    elements.write_summary(output)
    parameters(folder, elements, output)
    compartments(folder, output)
    invariants(folder, output)
    print(len(elements.kinds), "resource types,", len(elements.nodes), "nodes,",
          len(elements.sets.used), "code sets; primitives:", *sorted(elements.primitives))


main()
