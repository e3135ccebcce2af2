"""Read Stripe's form encoding back into a tree: `lines[0][amount]=5` becomes {"lines": [{"amount": "5"}]}."""

from typing import Any
from urllib.parse import parse_qsl


def parse_form(text: str) -> dict[str, Any]:
    """Return the tree of a form-encoded body or query; keys that are all numbers become a list."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, *rest = name.replace("]", "").split("[")
        _place(tree, [head, *rest], value)
    return {key: _with_lists(branch) for key, branch in tree.items()}


def _place(tree: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1] or str(len(tree))] = value


def _with_lists(branch: Any) -> Any:
    if not isinstance(branch, dict):
        return branch
    if branch and all(key.isdigit() for key in branch):
        return [_with_lists(branch[key]) for key in sorted(branch, key=int)]
    return {key: _with_lists(value) for key, value in branch.items()}
