"""What a spec may hold, what it refers to, and what is said about one that is wrong."""

import json
from typing import Any

import pytest
from specs import edges, faults, notes, planned, spec

from torc_tools.core import commandlines
from torc_tools.exits import Failure

REQUIREMENTS = {"name": "r", "num_cpus": 1, "memory": "1g"}
FAULTS: list[tuple[str, Any, list[str]]] = [
    ("no map", [], ["spec: expected a map with 'name' and 'jobs'"]),
    ("nothing", {}, ["spec: missing key 'name'", "spec: missing key 'jobs'"]),
    ("unknown key", spec(projekt="p"), ["projekt: unknown key 'projekt', did you mean 'project'?"]),
    ("unknown key of a job", spec({"name": "a", "comand": "x"}),
     ["jobs[0].comand: unknown key 'comand', did you mean 'command'?"]),
    ("key of another section", spec({"name": "a", "memory": "1g"}),
     ["jobs[0].memory: unknown key 'memory' (it belongs to an entry of 'resource_requirements')"]),
    ("torc's old section", spec(slurm_config={}), [
        ("slurm_config: unknown key 'slurm_config' (torc's 'slurm_config' became 'slurm_schedulers', "
         "with 'scheduler' in the jobs)")]),
    ("jobs no list", {"name": "w", "jobs": {}}, ["jobs: expected a list"]),
    ("job no map", {"name": "w", "jobs": ["x"]}, ["jobs[0]: expected a map, found 'x'"]),
    ("job without command", {"name": "w", "jobs": [{"name": "a"}]}, ["jobs[0]: missing key 'command'"]),
    ("null is absent", {"name": "w", "jobs": [{"name": "a", "command": None}]}, ["jobs[0]: missing key 'command'"]),
    ("empty name", spec({"name": ""}), ["jobs[0].name: is empty"]),
    ("NUL", spec({"name": "a\0"}), ["jobs[0].name: holds a NUL character"]),
    ("surrogate", spec({"name": "\ud800"}), ["jobs[0].name: is not valid Unicode"]),
    ("number for a name", spec({"name": 5}), ["jobs[0].name: expected a string, found '5'"]),
    ("string for a list", spec({"name": "a", "depends_on": "b"}),
     ["jobs[0].depends_on: expected a list of strings, found 'b'"]),
    ("number in a list", spec({"name": "a", "depends_on": [1]}),
     ["jobs[0].depends_on: item 0: expected a string, found '1'"]),
    ("flag", spec({"name": "a", "supports_termination": 1}),
     ["jobs[0].supports_termination: expected true or false, found '1'"]),
    ("true is no number", spec({"name": "a", "priority": True}),
     ["jobs[0].priority: expected a whole number, found 'True'"]),
    ("priority", spec({"name": "a", "priority": -1}), ["jobs[0].priority: -1 is below 0"]),
    ("env", spec({"name": "a", "env": {"A-B": "x"}}), ["jobs[0].env: not a name of a variable: 'A-B'"]),
    ("env value", spec(env={"A": ["x"]}), ["env: 'A': expected a string or a number"]),
    ("stdio", spec({"name": "a", "stdio": {"mode": "both"}}), [
        "jobs[0].stdio.mode: expected one of separate, combined, no_stdout, no_stderr, none, found 'both'"]),
    ("memory", spec(resource_requirements=[REQUIREMENTS | {"memory": "1x"}]),
     ["resource_requirements[0].memory: not a memory size: '1x' (write 512m, 8g, 1.5g)"]),
    ("runtime", spec(resource_requirements=[REQUIREMENTS | {"runtime": "2h"}]), [
        "resource_requirements[0].runtime: not a duration: '2h' (write PT2H30M or 02:30:00)"]),
    ("no memory", spec(resource_requirements=[{"name": "r", "num_cpus": 1}]),
     ["resource_requirements[0]: missing key 'memory'"]),
    ("cpus", spec(resource_requirements=[REQUIREMENTS | {"num_cpus": 0}]),
     ["resource_requirements[0].num_cpus: 0 is not between 1 and 1000000"]),
    ("rule", spec(failure_handlers=[{"name": "h", "rules": [{"max_retries": 1}]}]),
     ["failure_handlers[0].rules[0]: a rule needs 'exit_codes' or 'match_all_exit_codes: true'"]),
    ("exit code", spec(failure_handlers=[{"name": "h", "rules": [{"exit_codes": [999]}]}]),
     ["failure_handlers[0].rules[0].exit_codes: 999 is not between -255 and 255",
      "failure_handlers[0].rules[0]: a rule needs 'exit_codes' or 'match_all_exit_codes: true'"]),
    ("walltime", spec(slurm_schedulers=[{"name": "s", "account": "a", "walltime": "1h"}]),
     ["slurm_schedulers[0].walltime: not a time limit of Slurm: '1h' (write 04:00:00)"]),
    ("no account", spec(slurm_schedulers=[{"name": "s"}]), ["slurm_schedulers[0]: missing key 'account'"]),
    ("slurm default", spec(slurm_defaults={"Nodes": 1}),
     ["slurm_defaults.Nodes: 'Nodes' cannot be a default: it belongs to an entry of 'slurm_schedulers'"]),
    ("mode", spec(execution_config={"mode": "turbo"}),
     ["execution_config.mode: expected one of direct, slurm, auto, found 'turbo'"]),
    ("limit_runtime", spec(execution_config={"limit_runtime": "no"}),
     ["execution_config.limit_runtime: expected true, false or auto, found 'no'"]),
    ("signal", spec(execution_config={"termination_signal": "SIGFOO"}),
     ["execution_config.termination_signal: not a signal: 'SIGFOO' (write SIGTERM)"]),
    ("signal with time", spec(execution_config={"srun_termination_signal": "TERM@x"}), [
        "execution_config.srun_termination_signal: not SIGNAL@SECONDS: 'TERM@x'"]),
    ("useless", spec(execution_config={"mode": "direct", "enable_cpu_bind": True}),
     ["execution_config.enable_cpu_bind: 'enable_cpu_bind' has no meaning with mode 'direct'"]),
    ("one worker per node", spec(execution_config={"mode": "slurm"}, slurm_schedulers=[{"name": "s", "account": "a"}],
        actions=[{"trigger_type": "on_workflow_start", "action_type": "schedule_nodes", "scheduler": "s",
                  "scheduler_type": "slurm",
                  "start_one_worker_per_node": True}]),
     [("actions[0].start_one_worker_per_node: one worker for each node starts its jobs directly: "
       "write mode 'direct' or 'auto'")]),
    ("override", spec(execution_config={"job_stdio_overrides": {"a": {"mod": "none"}}}),
     ["execution_config.job_stdio_overrides.a.mod: unknown key 'mod', did you mean 'mode'?"]),
    ("monitor of the machine", spec(resource_monitor={"jobs": 1, "compute_node": {"granularity": "all"}}), [
        "resource_monitor.jobs: expected a map, found '1'",
        "resource_monitor.compute_node.granularity: expected one of summary, time_series, found 'all'",
    ]),
    ("monitor", spec(resource_monitor={"granularity": "all", "sample_interval_seconds": 0}), [
        "resource_monitor.granularity: expected one of summary, time_series, found 'all'",
        "resource_monitor.sample_interval_seconds: 0 is not a number of seconds above zero",
    ]),
    ("metadata", spec(metadata="{"), [
        ("metadata: is a string that is not JSON: "
         "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)")]),
    ("trigger", spec(actions=[{"trigger_type": "on_start", "action_type": "run_commands", "commands": ["x"]}]), [
        ("actions[0].trigger_type: expected one of on_workflow_start, on_workflow_complete, "
         "on_jobs_ready, on_jobs_complete, on_worker_start, on_worker_complete, found 'on_start'")]),
    ("action without jobs", spec(actions=[{"trigger_type": "on_jobs_ready", "action_type": "run_commands"}]),
     ["actions[0]: 'on_jobs_ready' needs 'jobs' or 'job_name_regexes'", "actions[0]: 'run_commands' needs 'commands'"]),
    ("action without scheduler", spec(actions=[{"trigger_type": "on_worker_start", "action_type": "schedule_nodes"}]),
     ["actions[0]: 'schedule_nodes' needs 'scheduler'", "actions[0]: 'schedule_nodes' needs 'scheduler_type'"]),
    ("unknown scheduler", spec(actions=[{"trigger_type": "on_workflow_start", "action_type": "schedule_nodes",
                                         "scheduler": "s", "scheduler_type": "slurm"}]),
     ["actions[0].scheduler: unknown scheduler 's'"]),
    ("unknown references", spec({"name": "a", "depends_on": ["b"], "resource_requirements": "r", "scheduler": "s",
                                 "failure_handler": "h", "input_files": ["f"], "output_user_data": ["d"]}), [
        "jobs[0].resource_requirements: unknown resource requirements 'r'",
        "jobs[0].failure_handler: unknown failure handler 'h'", "jobs[0].scheduler: unknown scheduler 's'",
        "jobs[0].input_files: unknown file 'f'", "jobs[0].output_user_data: unknown user data 'd'",
        "jobs[0].depends_on: unknown job 'b'"]),
    ("nearest reference", spec({"name": "train"}, {"name": "b", "depends_on": ["tran"]}),
     ["jobs[1].depends_on: unknown job 'tran', did you mean 'train'?"]),
    ("unknown in a command", spec({"name": "a", "command": "cat ${files.input.x}"}),
     ["jobs[0].command: unknown file 'x'"]),
    ("duplicate job", spec({"name": "a"}, {"name": "b"}, {"name": "a"}), ["jobs[2].name: duplicate job name 'a'"]),
    ("duplicates elsewhere", spec(files=[{"name": "f", "path": "p"}] * 2, resource_requirements=[REQUIREMENTS] * 2), [
        "resource_requirements[1].name: duplicate resource requirements name 'r'",
        "files[1].name: duplicate file name 'f'"]),
    ("bad regex", spec({"name": "a", "depends_on_regexes": ["("]}), [
        "jobs[0].depends_on_regexes: not a regular expression: '(': missing ), unterminated subpattern at position 0"]),
    ("regex without a match", spec({"name": "a"}, {"name": "b", "depends_on_regexes": ["^x"]}),
     ["jobs[1].depends_on_regexes: regular expression '^x' matches no job"]),
    ("regex that matches itself alone", spec({"name": "a", "depends_on_regexes": ["a"]}),
     ["jobs[0].depends_on_regexes: regular expression 'a' matches no job"]),
    ("cycle", spec({"name": "a", "depends_on": ["b"]}, {"name": "b", "depends_on": ["a"]}),
     ["jobs[0]: jobs depend on each other in a circle: 'a -> b -> a'"]),
    ("cycle of one", spec({"name": "a", "depends_on": ["a"]}),
     ["jobs[0]: jobs depend on each other in a circle: 'a -> a'"]),
    ("cycle through files", spec({"name": "a", "input_files": ["f"], "output_files": ["g"]},
                                 {"name": "b", "input_files": ["g"], "output_files": ["f"]},
                                 files=[{"name": "f", "path": "f"}, {"name": "g", "path": "g"}]),
     ["jobs[0]: jobs depend on each other in a circle: 'a -> b -> a'"]),
    ("two cycles and a tail", spec({"name": "t", "depends_on": ["a"]}, {"name": "a", "depends_on": ["b"]},
                                   {"name": "b", "depends_on": ["a"]}, {"name": "c", "depends_on": ["c"]}),
     ["jobs[1]: jobs depend on each other in a circle: 'a -> b -> a'",
      "jobs[3]: jobs depend on each other in a circle: 'c -> c'"]),
    ("a variable that is a parameter", spec({"name": "a{i}", "parameters": {"i": "1:2"}}, variables={"i": "x"}),
     ["jobs[0].parameters.i: 'i' is a parameter and a variable"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_faults(given: Any, expected: list[str]) -> None:
    assert faults(given) == expected


def test_a_job_that_cannot_be_expanded_makes_no_more_noise() -> None:
    given = spec(
        {"name": "a_{i}", "parameters": {"i": "5:1"}},
        {"name": "b", "depends_on": ["a_3"], "depends_on_regexes": ["^a_"]},
        {"name": "c", "depends_on": ["x_3"]},
    )
    assert [fault.partition(":")[0] for fault in faults(given)] == ["jobs[0].parameters.i", "jobs[2].depends_on"]


def test_an_empty_workflow_is_right() -> None:
    assert planned({"name": "w", "jobs": []}).names == []


def test_what_a_job_waits_for() -> None:
    made = planned(
        spec(
            {"name": "a", "output_files": ["f"], "output_user_data": ["d"]},
            {"name": "b", "input_files": ["f"]},
            {"name": "c", "input_user_data": ["d"]},
            {"name": "d", "depends_on": ["c", "a", "c"], "depends_on_regexes": ["^[ac]$", "d|a"]},
            {"name": "e", "input_file_regexes": ["f"], "output_file_regexes": ["g"]},
            {"name": "self", "input_files": ["h"], "output_files": ["h"]},
            files=[{"name": name, "path": name} for name in "fgh"],
            user_data=[{"name": "d", "data": {"k": 1}}],
        )
    )
    assert edges(made) == {"b": ["a"], "c": ["a"], "d": ["c", "a"], "e": ["a"]}
    assert (made.files["input"][4], made.files["output"][4]) == ((0,), (1,))
    assert made.stages == [1, 2, 2, 3, 2, 1]


def test_variables_in_commands_join_the_lists() -> None:
    made = planned(
        spec(
            {"name": "w{i}", "command": "mk ${files.output.f{i}}", "output_files": ["log"], "parameters": {"i": "1:2"}},
            {
                "name": "r",
                "command": "cat ${files.input.f1} ${user_data.input.d} ${HOME}",
                "invocation_script": "use ${files.input.f2} ${user_data.output.e};",
                "input_files": ["x"],
            },
            files=[{"name": name, "path": f"p/{name}"} for name in ("f1", "f2", "log", "x")],
            user_data=[{"name": "d", "data": {"a": [1, "b"]}}, {"name": "e"}],
        )
    )
    assert made.commands == ["mk p/f1", "mk p/f2", 'cat p/f1 {"a":[1,"b"]} ${HOME}']
    assert made.scripts[2] == "use p/f2 null;"
    assert made.files == {"input": [(), (), (3, 0, 1)], "output": [(2, 0), (2, 1), ()]}
    assert made.data == {"input": [(), (), (0,)], "output": [(), (), (1,)]}
    assert edges(made) == {"r": ["w1", "w2"]}


def test_defaults() -> None:
    made = planned(
        spec({"name": "a"}, {"name": "b", "resource_requirements": "r"}, resource_requirements=[REQUIREMENTS])
    )
    assert made.requirement == [None, 0]
    assert made.requirements == [
        {"name": "r", "num_cpus": 1, "num_gpus": 0, "num_nodes": 1, "memory_bytes": 2**30, "runtime_s": 3600}
    ]
    assert made.settings == [(0, True, {}), (0, True, {})]
    assert made.workflow["config"] == {
        "resource_monitor": {"enabled": True, "granularity": "summary", "sample_interval_seconds": 10},
        "compute_node_wait_for_new_jobs_seconds": 90,
    }


def test_every_field_reaches_its_place() -> None:
    made = planned(
        spec(
            {"name": "a", "priority": 7, "cancel_on_blocking_job_failure": False, "supports_termination": True,
             "env": {"A": 1, "B": True}, "labels": ["gpu"], "stdio": {"mode": "combined"}, "failure_handler": "h",
             "scheduler": "s"},
            user="u", description="d", project="p", metadata='{"a": 1}', env={"X": 1.5}, use_pending_failed=True,
            execution_config={"limit_runtime": False}, slurm_defaults={"qos": "high"}, jobs_sort_method="none",
            resource_monitor={"granularity": "time_series", "jobs": {"enabled": True}},
            failure_handlers=[{"name": "h", "rules": [{"exit_codes": [3]}]}],
            slurm_schedulers=[{"name": "s", "account": "a", "serialize_allocations": True}],
            actions=[{"trigger_type": "on_jobs_complete", "action_type": "schedule_nodes", "jobs": ["a"],
                      "job_name_regexes": ["a"], "scheduler": "s", "scheduler_type": "slurm"},
                     {"trigger_type": "on_worker_start", "action_type": "run_commands", "commands": ["x"],
                      "persistent": True}],
        )
    )  # fmt: skip
    config = {"env": {"A": "1", "B": "true"}, "labels": ["gpu"], "stdio": {"mode": "combined"}}
    assert made.settings == [(7, False, config | {"supports_termination": True})]
    assert made.workflow["user"] == "u"
    found = made.workflow["config"]
    assert found["metadata"] == {"a": 1}
    assert found["env"] == {"X": "1.5"}
    assert found["execution_config"] == {"limit_runtime": False}
    assert found["resource_monitor"]["enabled"] is True
    assert found["resource_monitor"]["jobs"] == {"enabled": True}
    rule = {"exit_codes": [3], "match_all_exit_codes": False, "recovery_script": None, "max_retries": 3}
    assert made.handlers == [{"name": "h", "rules": [rule]}]
    assert made.schedulers[0]["walltime"] == "01:00:00"
    assert made.actions[0]["jobs"] == [0]
    assert (made.actions[0]["scheduler_index"], made.actions[0]["num_allocations"]) == (0, 1)
    assert made.actions[1]["persistent"] is True
    assert planned(spec(), monitoring=False).workflow["config"]["resource_monitor"]["enabled"] is False
    nested = planned(spec(resource_monitor={"compute_node": {"granularity": "summary"}}), monitoring=False)
    monitor = nested.workflow["config"]["resource_monitor"]
    assert monitor["compute_node"] == {"granularity": "summary", "enabled": False}


def test_constants_are_put_in_first() -> None:
    made = planned(
        spec(
            {"name": "j_{i}", "command": "{bin}/run {i} {other} ${bin}", "parameters": {"i": "1:{n}"}},
            variables={"bin": "/opt", "n": 2},
            description="in {bin}",
        )
    )
    assert made.commands == ["/opt/run 1 {other} ${bin}", "/opt/run 2 {other} ${bin}"]
    assert made.workflow["description"] == "in /opt"


def test_what_is_left_out_is_said() -> None:
    assert notes(spec(user_data=[{"data": 1}], slurm_schedulers=[{"account": "a"}], access_groups=["g"],
                      slurm_defaults={"x": []})) == [
        "slurm_defaults.x: 'x' is ignored: it is neither a string, a number, true nor false",
        "access_groups: 'access_groups' is ignored: the store is a file with permissions",
        "slurm_schedulers[0]: is left out: it has no 'name', so nothing can refer to it",
        "user_data[0]: is left out: it has no 'name', so nothing can refer to it",
    ]  # fmt: skip


def test_keys_that_nothing_reads_are_said_once() -> None:
    assert notes(spec(
        {"name": "a", "supports_termination": True}, {"name": "b", "supports_termination": True},
        jobs_sort_method="none", enable_ro_crate=False,
        execution_config={"mode": "direct", "srun_mpi": "pmix", "recovery_script_timeout_seconds": 5},
        resource_monitor={"enable": True, "generate_plots": True, "flush_interval_seconds": 300, "enabled": False,
                          "jobs": {"granularity": "summary", "metrics": []}})) == [
        "execution_config.srun_mpi: 'srun_mpi' is ignored: with mode 'direct' no job is started by srun",
        "resource_monitor.enable: 'enable' is ignored, did you mean 'enabled'?",
        "resource_monitor.jobs.metrics: 'metrics' is ignored",
        "resource_monitor.enabled: 'enabled' is ignored: 'jobs' says what is to be done",
        "resource_monitor.generate_plots: 'generate_plots' is ignored: torc 0.21 does so, too",
        ("resource_monitor.flush_interval_seconds: 'flush_interval_seconds' is ignored: "
         "samples are written every few seconds"),
        "jobs_sort_method: 'jobs_sort_method' is ignored: jobs start by priority, then the larger one first",
        "jobs[0].supports_termination: 'supports_termination' is ignored: every job gets the termination signal",
    ]  # fmt: skip


def test_many_patterns_are_looked_up_and_not_searched() -> None:
    """^name$ for each of many jobs must not look at all names each time: here that would be 10**8 searches."""
    made = planned(
        spec(
            {"name": "a_{i}", "parameters": {"i": "1:10000"}},
            {"name": "b_{i}", "depends_on_regexes": ["^a_{i}$"], "parameters": {"i": "1:10000"}},
        )
    )
    assert made.parents[10000:10003] == [(0,), (1,), (2,)]


def test_command_lines_become_a_spec() -> None:
    made = planned(commandlines.spec(["echo {i}", "true"], ["i=1:2", "x=[a,b]"], "zip"))
    assert made.names == ["job_1_1_a", "job_1_2_b", "job_2_1_a", "job_2_2_b"]
    assert made.commands == ["echo 1", "echo 2", "true", "true"]
    assert planned(commandlines.spec([f"echo {n}" for n in range(10)])).names[8:] == ["job_09", "job_10"]
    assert commandlines.lines("# c\n\n a b \nc\n") == ["a b", "c"]
    assert commandlines.spec(["a  b\nc"])["name"] == "a b c"
    for bad in (
        lambda: commandlines.spec([]),
        lambda: commandlines.parameter("1=2"),
        lambda: commandlines.parameter("i"),
    ):
        with pytest.raises(Failure) as caught:
            bad()
        assert caught.value.status == 2


def test_a_plan_is_plain_data() -> None:
    assert json.dumps(vars(planned(spec({"name": "a"}))))
