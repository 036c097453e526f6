"""A YAML file out of somebody else's hands, a pack or a feed list: a tree, or problems with their place."""

from screener.config.nodes import read_tree

SEEDS = [
    b"rules: {A: {score: 3, when: 'x == 1'}}\n", b"a: &x [1]\nb: *x\n", b"a: !!python/object:os.system x\n",
    b"? [a]\n: b\n", b"\xff\xfea\x00", b"a: |\n  b\n c\n", b"[" * 300, b"a: 1\na: 2\n", b"--- a\n--- b\n",
]  # fmt: skip


def target(raw: bytes) -> None:
    tree, problems = read_tree(raw, "rules/x.yaml")
    assert tree is not None or problems
    assert all(one.startswith("rules/x.yaml:") and "\n" not in one for one in problems), problems
