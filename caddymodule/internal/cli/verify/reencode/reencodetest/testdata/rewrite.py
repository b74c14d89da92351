# Reads a list of bodies, and writes what Python makes of each: rewritten forms, and
# others by the name of the change that verify --explain finds.
import json, pprint, sys
from decimal import Decimal

bodies = json.load(sys.stdin)
forms = {
    "rewritten": {
        "compact": lambda body: json.dumps(json.loads(body), separators=(",", ":")),
        "compact, characters written out": lambda body: json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False),
        "indented by 4": lambda body: json.dumps(json.loads(body), indent=4),
        "floats as text": lambda body: json.dumps(json.loads(body, parse_float=Decimal), default=str),
        "floats as text, compact": lambda body: json.dumps(json.loads(body, parse_float=Decimal), default=str, separators=(",", ":")),
        "sorted": lambda body: json.dumps(json.loads(body), sort_keys=True),
        "sorted and compact": lambda body: json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")),
    },
    "carried": {
        "python_bytes": lambda body: str(body.encode()),
        "python_bytes, of a parsed body": lambda body: str(json.dumps(json.loads(body), separators=(",", ":")).encode()),
        "python_repr": lambda body: str(json.loads(body)),
        "python_repr, pretty": lambda body: pprint.pformat(json.loads(body), sort_dicts=False, width=10**6),
        "json_string, by Python": lambda body: json.dumps(body),
    },
}
print(json.dumps({kind: {name: [write(body) for body in bodies] for name, write in writes.items()} for kind, writes in forms.items()}))
