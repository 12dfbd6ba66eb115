"""The change of an agent: files with counts, changed words marked, bounded, and never markup."""

from __future__ import annotations

from tests.browser.test_reach import faults_of

PATCH = r"""diff --git a/shop/<img src=x onerror=alert(1)>.py b/shop/<img src=x onerror=alert(1)>.py
index 1111111..2222222 100644
--- a/shop/<img src=x onerror=alert(1)>.py
+++ b/shop/<img src=x onerror=alert(1)>.py
@@ -1,4 +1,5 @@ def total():
 unchanged <b>line</b>
-    return round(price * 1.19, 2)
-gone entirely
+    return round(price * rate, 2)
+++ b/not-a-header
+<script>alert(1)</script>
 end
\ No newline at end of file
diff --git a/old.txt b/old.txt
deleted file mode 100644
--- a/old.txt
+++ /dev/null
@@ -1 +0,0 @@
--- a/looks-like-a-header
"""
READ = """async (patch) => {
  const { readPatch } = await import("/static/diff.js");
  return readPatch(patch).files.map((file) =>
    [file.name, file.added, file.removed, file.lines.map((one) => one.kind).join(" ")]);
}"""
WORDS = """async ([before, after]) => {
  const { changedWords } = await import("/static/diff.js");
  return changedWords(before, after);
}"""
DRAW = """async (patch) => {
  const { drawPatch } = await import("/static/diff.js");
  document.getElementById("list").replaceChildren(...drawPatch(patch));
}"""


CHANGED = [
    ("a = b + 1", "a = c + 1", [["b"], ["c"]]),
    ("call(one, two)", "call(one, two, three)", [[], [", three"]]),
    ("x = 'ä\u00f6\U0001f600'", "x = 'ä\u00f6\U0001f601'", [["\U0001f600"], ["\U0001f601"]]),
    ("a = old name + 1", "a = new thing + 1", [["old name"], ["new thing"]]),
    # Nothing in common, or too long: no word is marked.
    ("return 1", "class Shop:", None),
    ("a " * 1000, "a " * 999 + "b", None),
    ("", "x", None),
]


def test_lines_and_words_of_any_patch(seeded):
    board, _ = seeded
    board.open()
    kinds = "file file file file hunk  del del add add add  note"
    assert board.page.evaluate(READ, PATCH) == [
        ["shop/<img src=x onerror=alert(1)>.py", 3, 2, kinds],
        ["old.txt", 0, 1, "file file file file hunk del"],
    ]
    for odd in (
        "",
        "no patch at all\n",
        "@@ -1 +1 @@\n",
        PATCH[:300],
        "diff --git\n@@ -9,9 +9,9 @@",
    ):
        board.page.evaluate(READ, odd)
    for before, after, marked in CHANGED:
        found = board.page.evaluate(WORDS, [before, after])
        if marked is None:
            assert found is None, before
            continue
        assert ["".join(text for text, _ in side) for side in found] == [before, after]
        assert [[text for text, changed in side if changed] for side in found] == marked


def test_a_hostile_patch_is_text_with_marks(seeded):
    board, _ = seeded
    board.open()
    page = board.page
    page.evaluate(DRAW, PATCH)
    region = page.get_by_role("region", name="Change")
    assert region.locator("mark").all_text_contents() == ["1.19", "rate"]
    assert region.locator("img, script, b, a, iframe").count() == 0
    assert region.locator("summary").all_text_contents() == [
        "shop/<img src=x onerror=alert(1)>.py +3 −2",
        "old.txt +0 −1",
    ]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults_of(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # Lines made to cost the most: each word differs, and each is as short as can be.
    old, new = "a b " * 240, "b c " * 240
    lines = [f"-{old}{at}" for at in range(2400)] + [f"+{new}{at}" for at in range(2400)]
    page.evaluate(DRAW, "diff --git a/x b/x\n@@ -1,2400 +1,2400 @@\n" + "\n".join(lines))
    assert region.locator(".d").count() == 4802
    # The work is spent after some lines: the others are shown without marks.
    assert region.locator("mark").count() < 4800
