"""Running text to words.  Expected words of scripts without blanks are ICU's dictionaries' own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.tasks.segments import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ta'n ven ayns shen. «Quoi?»", "Ta'n|ven|ayns|shen|.|«|Quoi|?|»"),
        ("O'Brien's 3.5-litre car…", "O'Brien's|3.5-litre|car|…"),
        ("मैं घर में हूँ।", "मैं|घर|में|हूँ|।"),
        ("می\u200cخواهم کتاب", "می\u200cخواهم|کتاب"),
        ("It costs 1,000.50 or −5 at 12:30.", "It|costs|1,000.50|or|−5|at|12:30|."),
        ("१२३.४५ 1914–1918 3rd x²", "१२३.४५|1914–1918|3rd|x²"),
        ("See https://a.org/b?c=d(e). Mail a.b@c.org!", "See|https://a.org/b?c=d(e)|.|Mail|a.b@c.org|!"),
        ("(www.a.org/b)", "(|www.a.org/b|)"),
        ("Wait... what?! -- no", "Wait|...|what|?|!|--|no"),
        ("e\u0301te\u0301", "e\u0301te\u0301"),
        ("👩\u200d👩\u200d👧 ❤\ufe0f ok👍🏽!", "👩\u200d👩\u200d👧|❤\ufe0f|ok|👍🏽|!"),
        ("🇮🇪🇫🇷 1\ufe0f\u20e3 🤷\u200d♀\ufe0f", "🇮🇪|🇫🇷|1\ufe0f\u20e3|🤷\u200d♀\ufe0f"),
        ("\u200fשלום\u200f \u200d \ufe0f", "שלום"),
        ("ความ\u200bรู้", "ความ|รู้"),
        ("孩子们在花园里读。", "孩子|们|在|花园|里|读|。"),
        ("花园Paris 2020年", "花园|Paris|2020|年"),
        ("中", "中"),
        ("เด็กอ่านหนังสือเก่า", "เด็ก|อ่าน|หนังสือ|เก่า"),
        ("한국어는 좋다.", "한국어는|좋다|."),
    ],
)  # fmt: skip
def test_words(text: str, words: str) -> None:
    assert list(split_words(text)) == words.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "子供たちは庭で古い本を読みます",
        "ເດັກນ້ອຍອ່ານປຶ້ມເກົ່າ",
        "ក្មេងៗអានសៀវភៅចាស់",
        "ကလေးများသည်စာအုပ်ဖတ်ကြသည်",
    ],
)
def test_scripts_without_blanks_have_words(text: str) -> None:
    words = split_words(text)
    assert 4 <= len(words) < len(text)
    assert "".join(words) == text


@given(st.text())
def test_no_word_is_invisible_and_no_letter_is_lost(text: str) -> None:
    words = split_words(text)
    assert not any(word.isspace() or word in ("\u200d", "\ufe0f", "") for word in words)
    letters = [letter for letter in text if letter.isalnum()]
    assert [letter for word in words for letter in word if letter.isalnum()] == letters


def test_without_icu_such_text_is_refused() -> None:
    script = (
        "import sys\n"
        "sys.modules['icu4py'] = None\n"
        "from adapterhub_lite.tasks.segments import split_words\n"
        "print(split_words('Ta mee 中'))\n"
        "split_words('孩子们在花园里读旧书')\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == "('Ta', 'mee', '中')\n"
    assert 'hint: `pip install "adapterhub_lite[words]"`' in done.stderr
