"""Reads manifests as strangers do: Croissant's own validator, and an expansion by a JSON-LD library.

usage: check.py MANIFEST...

Nothing is fetched: manifests carry their context, and asking for a document is an error.
"""

import json
import sys

import mlcroissant
from absl import logging
from pyld import jsonld

ODRL = "http://www.w3.org/ns/odrl/2/"
SCHEMA = "https://schema.org/"
LICEN = "https://licen.example/ns/1#"
XSD = "http://www.w3.org/2001/XMLSchema#"
# What an offer is made of; each of these has to be an IRI wherever it stands.
IRIS = ["leftOperand", "operator", "action", "target", "assigner", "profile", "uid", "unit"]
OPERANDS = {
    LICEN + "epochsPerRun", LICEN + "attestationLevel",
    ODRL + "count", ODRL + "purpose", ODRL + "dateTime", ODRL + "payAmount",
}  # fmt: skip
OPERATORS = {ODRL + name for name in ("lteq", "gteq", "eq", "isAnyOf")}
ACTIONS = {LICEN + "train", ODRL + "compensate"}
TYPES = {XSD + "integer", XSD + "dateTime"}


class Refused(Exception):
    """A manifest that is not what a stranger expects."""


def no_network(url, _options):
    raise Refused(f"reads {url}")


def nodes(value):
    """Every object inside an expanded document, but for what stays JSON."""
    if isinstance(value, dict) and value.get("@type") == "@json":
        return
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)
    elif isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)


def iris(node, name):
    """The IRIs under an ODRL property; anything else than an IRI is refused."""
    found = node.get(ODRL + name, [])
    for item in found:
        iri = item.get("@id", "")
        if ":" not in iri or iri.startswith("_:"):
            raise Refused(f"odrl:{name} is no IRI: {item}")
    return [item["@id"] for item in found]


def known(name, found, expected):
    strange = set(found) - expected
    if strange or not found:
        raise Refused(f"odrl:{name}: {strange or 'missing'}")


def right_operand(constraint):
    """A purpose is an IRI, everything else a number or a time of its type."""
    values = constraint.get(ODRL + "rightOperand", [])
    purpose = iris(constraint, "leftOperand") == [ODRL + "purpose"]
    for value in values:
        right = value.get("@id", "").startswith(LICEN) if purpose else value.get("@type") in TYPES
        if not right:
            raise Refused(f"odrl:rightOperand {value}")
    if not values:
        raise Refused("a constraint without odrl:rightOperand")


def check_offer(document):
    expanded = jsonld.expand(document, {"documentLoader": no_network})
    offers = expanded[0][SCHEMA + "usageInfo"]
    if len(offers) != 1 or set(offers[0].get("@type", [])) != {SCHEMA + "CreativeWork", ODRL + "Offer"}:
        raise Refused(f"the offer's type is {[offer.get('@type') for offer in offers]}")
    offer = list(nodes(offers))
    for node in offer:
        for name in IRIS:
            iris(node, name)
    constraints = [node for node in offer if ODRL + "leftOperand" in node]
    actions = [action for node in offer for action in iris(node, "action")]
    known("action", actions, ACTIONS)
    known("leftOperand", [iri for node in constraints for iri in iris(node, "leftOperand")], OPERANDS)
    known("operator", [iri for node in constraints for iri in iris(node, "operator")], OPERATORS)
    if set(actions) != ACTIONS:
        raise Refused(f"actions are {actions}")
    for constraint in constraints:
        known("operator", iris(constraint, "operator"), OPERATORS)
        right_operand(constraint)
    terms = {key for node in nodes(expanded) for key in node if not key.startswith("@")}
    undefined = [term for term in terms if ":" not in term]
    if undefined:
        raise Refused(f"terms without an IRI: {undefined}")
    return len(constraints)


def check(path):
    mlcroissant.Dataset(path)
    with open(path, encoding="utf-8") as file:
        return check_offer(json.load(file))


def breaks_when(document, change):
    changed = json.loads(json.dumps(document))
    change(changed["usageInfo"][0])
    try:
        check_offer(changed)
    except Refused:
        return True
    return False


def check_itself(path):
    """The check notices what manifests once got wrong: bare strings in the place of IRIs."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    permission = lambda offer: offer["odrl:permission"][0]  # noqa: E731
    mistakes = {
        "type": lambda offer: offer.update({"@type": "odrl:Offer"}),
        "action": lambda offer: permission(offer).update({"odrl:action": "licen:train"}),
        "operand": lambda offer: permission(offer)["odrl:constraint"][0].update({"odrl:leftOperand": "odrl:count"}),
        "operator": lambda offer: permission(offer)["odrl:constraint"][0].update({"odrl:operator": "odrl:lteq"}),
        "value": lambda offer: permission(offer)["odrl:constraint"][0].update({"odrl:rightOperand": "5"}),
        "assigner": lambda offer: offer.update({"odrl:assigner": "0x0e"}),
    }
    missed = [name for name, change in mistakes.items() if not breaks_when(document, change)]
    if missed:
        raise Refused(f"the check does not notice a wrong {', '.join(missed)}")


def main(paths):
    if not paths:
        sys.exit(__doc__)
    # What Croissant only recommends, a citation and a version, is not said.
    logging.set_verbosity(logging.ERROR)
    failed = 0
    for path in paths:
        try:
            constraints = check(path)
            print(f"{path}: valid Croissant, an offer of {constraints} constraints")
        except (Refused, mlcroissant.ValidationError, jsonld.JsonLdError) as error:
            failed += 1
            print(f"{path}: {error}", file=sys.stderr)
    check_itself(paths[0])
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
