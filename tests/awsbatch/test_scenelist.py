from __future__ import annotations

import pytest

from rios_batch.awsbatch.scenelist import read_scenes
from rios_batch.errors import ParameterError


def arguments_of(text: str, *template: str) -> list[tuple[str, ...]]:
    return [scene.arguments for scene in read_scenes(text.encode(), "scenes.txt", template).scenes]


@pytest.mark.parametrize(
    ("line", "argument"),
    [
        ("s3://b/scene.tif", "s3://b/scene.tif"),
        ("  s3://b/scene.tif \t", "s3://b/scene.tif"),
        ("my scene.tif", "my scene.tif"),
        ('"my scene.tif"', "my scene.tif"),
        ("'my scene.tif'", "my scene.tif"),
        ("l'eau.tif", "l'eau.tif"),
        ("'a' 'b'", "'a' 'b'"),
        ('"', '"'),
        (r"C:\maps\a.tif", r"C:\maps\a.tif"),
        ("scene#1.tif", "scene#1.tif"),
        ("$HOME/*.tif", "$HOME/*.tif"),
        ("größe.tif", "größe.tif"),
        ("{}", "{}"),
        ("--help", "--help"),
    ],
)
def test_the_whole_line_is_one_argument(line: str, argument: str) -> None:
    assert arguments_of(line, "{}", "out/{}") == [(argument, f"out/{argument}")]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("a.tif b.tif", ("b.tif", "a.tif")),
        ("a.tif    b.tif  c", ("b.tif", "a.tif")),
        ("\"a 1.tif\" 'b 2.tif'", ("b 2.tif", "a 1.tif")),
        ("a 1.tif\tb 2.tif", ("b 2.tif", "a 1.tif")),
        ('"a 1.tif"\tl\'eau.tif', ("l'eau.tif", "a 1.tif")),
        ("a.tif\t\tc", ("", "a.tif")),
        (r"C:\a.tif D:\b.tif", (r"D:\b.tif", r"C:\a.tif")),
    ],
)
def test_columns_are_separated_by_tabs_or_by_blanks_outside_of_quotes(
    line: str, columns: tuple[str, str]
) -> None:
    assert arguments_of(line, "{2}", "{1}", "-x") == [(*columns, "-x")]


def test_comments_and_blank_lines_are_left_out_whatever_ends_lines() -> None:
    listed = read_scenes(b"\xef\xbb\xbf# scenes\r\n\r\na\r\n   # no\rb\n \nc", "scenes.txt", ["{}"])

    assert [(scene.line, scene.arguments) for scene in listed.scenes] == [
        (3, ("a",)),
        (5, ("b",)),
        (7, ("c",)),
    ]


def test_a_line_that_comes_again_is_named_and_left_out() -> None:
    listed = read_scenes(b'a b\nc\n"a b"\nc\n', "scenes.txt", ["{}"])

    assert [scene.arguments for scene in listed.scenes] == [("a b",), ("c",)]
    assert listed.repeated == ((3, 1), (4, 2))


@pytest.mark.parametrize(
    ("data", "template", "says"),
    [
        (b"a\n", ["out.tif"], "no argument of the script has a place for the line"),
        (b"a\n", [], "no argument of the script has a place for the line"),
        (b"", ["{}"], "scenes.txt has no lines"),
        (b"# a\n\n", ["{}"], "scenes.txt has no lines"),
        (b"a\nb c\n", ["{1}", "{2}"], "line 1 of scenes.txt has 1 columns, and {2} asks for column 2"),
        (b"a\n", ["{0}"], "{0} asks for column 0, counted from 1"),
        (b"a b\nl'eau b\n", ["{1}"], "line 2 of scenes.txt has a quote without its partner"),
        (b"\xff\xfea\x00", ["{}"], "scenes.txt is not text in UTF-8"),
        (b"a\0b\n", ["{}"], "line 1 of scenes.txt holds a zero byte"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_with_the_line(
    data: bytes, template: list[str], says: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        read_scenes(data, "scenes.txt", template)

    assert says in str(caught.value)
