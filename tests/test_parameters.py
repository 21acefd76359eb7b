"""Values of parameters, their formats, how they combine: torc's table of cases, with our answer and why it differs."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import faults, notes, planned, spec

from torc_tools.core import parameters
from torc_tools.core.parameters import BadParameterError, Rows, values

CASES = [  # number of the case of torc 0.21, values, template, names; a word behind says why ours are not torc's
    (69, "1:5", "j_{i}", ["j_1", "j_2", "j_3", "j_4", "j_5"]),
    (70, "{1:3}", "j_{i}", ["j_1", "j_2", "j_3"]),
    (70, "1 : 3", "j_{i}", ["j_1", "j_2", "j_3"]),
    (71, "0:10:2", "j_{i}", ["j_0", "j_2", "j_4", "j_6", "j_8", "j_10"]),
    (73, "5:1:-2", "j_{i}", ["j_5", "j_3", "j_1"]),
    (76, "0.0:1.0:0.5", "j_{i}", ["j_0", "j_0.5", "j_1"]),
    (77, "0.0:0.3:0.1", "j_{i}", ["j_0", "j_0.1", "j_0.2", "j_0.3"]),  # torc drifts: 0.30000000000000004
    (78, "0.0:0.3:0.1", "j_{i:.2f}", ["j_0.00", "j_0.10", "j_0.20", "j_0.30"]),
    (79, "[001,2]", "j_{i}", ["j_1", "j_2"]),
    (79, "[1.50,2]", "j_{i}", ["j_1.5", "j_2"]),
    (80, "['a','b c']", "j_{i}", ["j_a", "j_b c"]),
    (81, "[]", "j_{i}", []),
    (81, "", "j_{i}", ["j_"]),
    (82, "12:30", "j_{i}", [f"j_{number}" for number in range(12, 31)]),
    (84, "1e3", "j_{i}", ["j_1000"]),
    (84, "true", "j_{i}", ["j_true"]),
    (84, "abc", "j_{i}", ["j_abc"]),
    (85, '[1, "x,y"]', "j_{i}", ["j_1", "j_x,y"]),  # torc cuts at commas inside quotes
    (86, "3", "j_{i:03d}", ["j_003"]),
    (86, "3.5", "j_{i:03d}", ["j_3.5"]),
    (86, "7", "j_{i:.2f}", ["j_7"]),
    (87, "[-1,1]", "j_{i:03d}", ["j_-01", "j_001"]),
    (88, "5", "j_{i:3d}", ["j_5"]),
    (88, "5", "j_{i:x}", ["j_5"]),
    (89, "1:3", "j_{i:03d}_{i}", ["j_001_1", "j_002_2", "j_003_3"]),  # torc leaves the second: {i}
    (96, 7, "j_{i}", ["j_7"]),  # torc takes strings alone
    (96, [1, 2.5, "x:y", True], "j_{i}", ["j_1", "j_2.5", "j_x:y", "j_true"]),
]


@pytest.mark.parametrize(("_", "value", "template", "names"), CASES)
def test_torcs_cases(_: int, value: object, template: str, names: list[str]) -> None:
    assert planned(spec({"name": template, "parameters": {"i": value}})).names == names


FAULTS = [
    (72, "5:1", "range is empty: '5:1' (a range that goes down needs a negative step)"),  # torc: no jobs, no word
    (74, "1:5:0", "step cannot be zero: '1:5:0'"),
    (75, "1:5:0.5", "not a whole step: '0.5' (write 1.0:5.0:0.5)"),
    (83, "http://x", "not a range: 'http://x' (write start:end or start:end:step; a list is [a,b])"),
    (0, "1:2:3:4", "not a range: '1:2:3:4' (write start:end or start:end:step; a list is [a,b])"),
    (0, "1:5:-1", "range is empty: '1:5:-1' (a range that goes down needs a negative step)"),
    (0, "0:10000000", "'0:10000000' has 10000001 values, more than the limit of 1000000"),
    (0, "0.0:1e9:0.1", "'0.0:1e9:0.1' has 10000000001 values, more than the limit of 1000000"),
    (0, "0.0:1e30:1", "'0.0:1e30:1' has more values than the limit of 1000000"),
    (0, "1e308:1e309", "'1e308:1e309' has more values than the limit of 1000000"),
    (0, {"a": 1}, "expected a string or a number, found '{\"a\": 1}'"),
    (0, [None], "expected a string or a number, found 'null'"),
    (0, ["\0"], "a value holds a NUL character or is not valid Unicode"),
]


@pytest.mark.parametrize(("_", "value", "fault"), FAULTS)
def test_values_that_are_refused(_: int, value: object, fault: str) -> None:
    assert faults(spec({"name": "j_{i}", "parameters": {"i": value}})) == [
        f"jobs[0].parameters.i: parameter 'i': {fault}"
    ]


def test_90_product_is_in_the_order_of_the_file_and_zip_in_step() -> None:
    job = {"name": "j_{a}_{b}", "parameters": {"a": "[1,2]", "b": "['x','y']"}}
    assert planned(spec(job)).names == ["j_1_x", "j_1_y", "j_2_x", "j_2_y"]
    assert planned(spec(job | {"parameter_mode": "zip"})).names == ["j_1_x", "j_2_y"]


def test_91_zip_needs_lists_of_one_length() -> None:
    job = {"name": "j_{a}_{b}", "parameters": {"a": "1:3", "b": "1:2"}, "parameter_mode": "zip"}
    assert faults(spec(job)) == [
        "jobs[0].parameters: all parameters must have the same number of values with 'zip': 'a' has 3, 'b' has 2"
    ]


def test_92_a_job_takes_the_shared_parameters_that_it_names() -> None:
    job = {"name": "j_{a}_{b}", "use_parameters": ["a"]}
    assert planned(spec(job, parameters={"a": "1:2", "b": "1:2"})).names == ["j_1_{b}", "j_2_{b}"]


def test_93_a_shared_parameter_that_is_not_there_is_said() -> None:
    job = spec({"name": "j", "use_parameters": ["zz"]}, parameters={"a": "1:2"})
    assert planned(job).names == ["j"]
    assert notes(job) == ["jobs[0].use_parameters: 'zz' is ignored: the spec has no such parameter"]


def test_94_own_parameters_win_entirely() -> None:
    job = {"name": "j_{a}", "parameters": {"a": "7:8"}, "use_parameters": ["a", "b"]}
    assert planned(spec(job, parameters={"a": "1:2", "b": "1:2"})).names == ["j_7", "j_8"]


def test_95_a_name_without_its_parameter_is_a_duplicate() -> None:
    assert faults(spec({"name": "j", "parameters": {"i": "1:2"}})) == [
        "jobs[0].name: duplicate job name 'j': no parameter makes its 2 instances differ"
    ]


def test_every_place_of_a_job_takes_parameters() -> None:
    job = {
        "name": "j_{i}", "command": "run {i} ${i} {j} %d", "invocation_script": "pre {i:02d}",
        "resource_requirements": "r{i}", "env": {"I": "{i}", "N": 4}, "depends_on_regexes": ["^p{i}$"],
    }  # fmt: skip
    rows = [{"name": f"r{i}", "num_cpus": i, "memory": "1g"} for i in (1, 2)]
    made = planned(spec({"name": "p{i}", "parameters": {"i": "1:2"}}, job | {"parameters": {"i": "1:2"}},
                        resource_requirements=rows))  # fmt: skip
    assert made.commands[2:] == ["run 1 ${i} {j} %d", "run 2 ${i} {j} %d"]
    assert made.scripts == [None, None, "pre 01", "pre 02"]
    assert made.requirement == [None, None, 0, 1]
    assert [config.get("env") for _, _, config in made.settings[2:]] == [{"I": "1", "N": "4"}, {"I": "2", "N": "4"}]
    assert made.parents == [(), (), (0,), (1,)]


def test_a_fan_in_is_one_job() -> None:
    made = planned(
        spec(
            {"name": "a_{i}_{j}", "parameters": {"i": "1:2", "j": "1:2"}},
            {
                "name": "sum_{i}",
                "command": "sum {i}",
                "depends_on": ["a_{i}_{j}"],
                "parameters": {"i": "1:2", "j": "1:2"},
            },
            {"name": "all", "depends_on": ["sum_{i}"], "parameters": {"i": "1:2"}},
        )
    )
    assert made.names[4:] == ["sum_1", "sum_2", "all"]
    assert made.parents[4:] == [(0, 1), (2, 3), (4, 5)]


def test_instances_that_differ_elsewhere_are_duplicates() -> None:
    jobs = [{"name": "a_{i}", "parameters": {"i": "1:2"}}]
    differ = {"name": "b", "command": "run {i}", "depends_on": ["a_{i}"], "parameters": {"i": "1:2"}}
    assert faults(spec(*jobs, differ)) == ["jobs[1].name: duplicate job name 'b': its instances differ in 'command'"]
    unused = {"name": "b", "depends_on": ["a_{i}"], "parameters": {"i": "1:2", "j": "1:2"}}
    assert faults(spec(*jobs, unused)) == ["jobs[1].name: duplicate job name 'b': parameter 'j' is used nowhere"]
    file = {"name": "f", "path": "p", "parameters": {"i": "1:2"}}
    assert faults(spec(files=[file])) == [
        "files[0].name: duplicate file name 'f': no parameter makes its 2 instances differ"
    ]


def test_tables() -> None:
    tables = {
        "t.csv": '\ufeffn,x,s\n1,0.50,"a,b"\n2,1e1,c\n',
        "t.json": '[{"n": 1, "x": 0.5, "s": "a,b"}, {"s": "c", "x": "10", "n": 2}]',
        "t.jsonl": '{"n": 1, "x": 0.5, "s": "a,b"}\n\n{"n": 2, "x": 10, "s": "c"}\n',
    }
    for name in tables:
        made = planned(spec({"name": "j_{n:02d}_{x}_{s}", "parameters_file": name}), tables)
        assert made.names == ["j_01_0.5_a,b", "j_02_10_c"], name
    shared = spec({"name": "j_{n}", "use_parameters_file": True}, {"name": "k"}, parameters_file="t.csv")
    assert planned(shared, tables).names == ["j_1", "j_2", "k"]
    fan_in = {"name": "k", "depends_on": ["j_{n}"], "parameters_file": "t.csv"}
    assert planned(spec({"name": "j_{n}", "parameters_file": "t.csv"}, fan_in), tables).parents[2] == (0, 1)


BAD_TABLES = [
    ("t.csv", "", "the table has no header"),
    ("t.csv", "a,a\n1,2\n", "the table's columns need names, each once"),
    ("t.csv", "a,b\n1\n", "row 1 of the table has not the columns of the first"),
    ("t.csv", 'a\n"x\n', "not CSV: unexpected end of data"),
    ("t.json", "{}", "'t.json' is not a list of objects"),
    ("t.jsonl", '{"a": 1}\n{"b": 1}\n', "row 2 of the table has not the columns of the first"),
]


@pytest.mark.parametrize(("name", "text", "fault"), BAD_TABLES)
def test_tables_that_are_refused(name: str, text: str, fault: str) -> None:
    found = faults(spec({"name": "j_{a}", "parameters_file": name}), {name: text})
    assert found == [f"jobs[0].parameters: {fault}"]


def test_one_source_of_parameters() -> None:
    job = {"name": "j_{a}", "parameters_file": "t.csv", "parameters": {"a": "1:2"}}
    assert faults(spec(job), {"t.csv": "a\n1\n"}) == [
        "jobs[0]: takes parameters from 't.csv' and from elsewhere: one of the two"
    ]
    assert faults(spec({"name": "j", "use_parameters_file": True})) == [
        "jobs[0].use_parameters_file: the spec has no 'parameters_file' at its top"
    ]


def test_lists_from_files() -> None:
    made = planned(spec({"name": "j_{x}", "parameters": {"x": "@v.txt"}}), {"v.txt": "a b\n\n2\n0.50\n"})
    assert made.names == ["j_a b", "j_2", "j_0.5"]


def test_user_data_takes_parameters() -> None:
    entry = {"name": "d_{i:02d}", "data": {"n": ["{i}", 3], "{i}": "k{i}"}, "parameters": {"i": "1:2"}}
    assert planned(spec(user_data=[entry])).user_data == [
        ("d_01", '{"n":["1",3],"{i}":"k1"}', False),
        ("d_02", '{"n":["2",3],"{i}":"k2"}', False),
    ]


def test_too_many_jobs() -> None:
    job = {"name": "j_{a}_{b}", "parameters": {"a": "1:100", "b": "1:100"}}
    assert faults(spec(job), max_jobs=9999) == ["jobs[0]: expands to 10000 instances, more than the limit of 9999"]
    one = {"name": "j_{a}", "parameters": {"a": "1:10"}}
    assert faults(spec(one, {"name": "k"}), max_jobs=10) == ["jobs: the spec makes 11 jobs, more than the limit of 10"]
    assert len(planned(spec(one), max_jobs=10).names) == 10


@given(st.integers(-(10**6), 10**6), st.integers(0, 50), st.integers(1, 1000))
def test_ranges_are_what_python_says(start: int, steps: int, step: int) -> None:
    end = start + steps * step
    assert list(values(f"{start}:{end}:{step}", 10**6)) == list(range(start, end + 1, step))
    assert list(values(f"{end}:{start}:-{step}", 10**6)) == list(range(end, start - 1, -step))


@given(st.integers(-1000, 1000), st.integers(0, 60), st.integers(1, 3))
def test_decimal_ranges_do_not_drift(start: int, steps: int, digits: int) -> None:
    """Every value is start + n x step exactly, and so is its text."""
    unit = Decimal(1).scaleb(-digits)
    first = start * unit
    shown = [parameters.show(value) for value in values(f"{first}:{first + steps * unit}:{unit}", 10**6)]
    assert [Decimal(text) for text in shown] == [first + number * unit for number in range(steps + 1)]
    assert not any(text.endswith("0") and "." in text for text in shown)


_NAMES = st.sampled_from("abc")
_COLUMNS = st.dictionaries(_NAMES, st.lists(st.integers(-99, 99) | st.text(max_size=4), max_size=4), min_size=1)


@given(_COLUMNS, st.text(alphabet="{}abc:%$ 03d", max_size=30))
def test_columns_are_what_filling_row_by_row_gives(columns: dict[str, list[int | str]], template: str) -> None:
    rows = Rows(columns)
    slow = [parameters.filled(template, row) for row in rows.each()]
    fast = rows.texts(template)
    assert (fast if fast is not None else [template] * rows.count) == slow
    assert len(slow) == rows.count


@given(st.text(max_size=40))
def test_any_text_has_values_or_a_fault(text: str) -> None:
    try:
        found = values(text, 1000)
    except BadParameterError:
        return
    assert len(found) <= 1000
    assert all(isinstance(parameters.show(value, "03d"), str) for value in found)
