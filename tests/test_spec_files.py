"""The spec files of torc, as they stand: each loads, with the counts that its text implies."""

from pathlib import Path

import pytest
import sources

from torc_tools.core.plan import Plan
from torc_tools.flows import creation
from torc_tools.shell import specfile

FOLDER = sources.ROOT / "tests" / "data" / "torc-specs"

# jobs, files, dependencies, stages; worked out by hand from the text, in the words beside each line
COUNTS = {
    # 4 downloads, 4 preprocess, 4 x 3 analyses, 4 reports (each of 3 analyses), 1 summary of 4 reports;
    # 4 raw, 4 clean, 12 results; dependencies 4 + 12 + 12 + 4
    "data_pipeline_parameterized": (25, 20, 32, 5),
    # f1 > preprocess > f2, f3 > work1, work2 > f4, f5 > postprocess
    "diamond_workflow": (4, 6, 4, 3),
    # flaky_2 and reliable behind flaky_1, summary behind both
    "failure_handler_demo": (4, 0, 4, 3),
    # 0:2 x 0:2 simulations and one job behind the nine
    "failure_handler_simulation": (10, 0, 9, 2),
    "hundred_jobs_parameterized": (100, 0, 0, 1),
    "hundred_jobs_workflow": (100, 0, 0, 1),
    # 2 preparations, 3 x 3 x 2 trainings behind both, one aggregate behind the 18; 2 + 2 x 18 files
    "hyperparameter_sweep": (21, 38, 54, 3),
    "hyperparameter_sweep_shared_params": (21, 38, 54, 3),
    # 1000 + 1000 + 100, three barriers and a report; 1000 in and 1000 out, 1000 in and 100 out, 100 in and 1 out
    "multi_stage_barrier_pattern": (2104, 0, 1000 + 1000 + 1000 + 100 + 100 + 1, 7),
    "resource_monitoring_demo": (3, 0, 0, 1),
    # download > validation > analysis, by name, by file and by user data alike
    "sample_workflow": (3, 5, 2, 3),
    "simple_retry": (2, 0, 1, 2),
    # 4 temperatures x 4 pressures (1, 26, 51, 76): 1 config, 16 simulations, 16 analyses, 1 diagram; 1 + 3 x 16 files
    "simulation_sweep": (34, 49, 16 + 16 + 16, 4),
    # setup, 10 works, postprocess; 10 inputs, 10 outputs, 1 result
    "slurm_staged_pipeline": (12, 21, 20, 3),
    # 4 each of download, validate, transform; aggregate behind the 4 transforms; report
    "workflow_actions_data_pipeline": (14, 0, 4 + 4 + 4 + 1, 5),
    # preprocess, 8 trainings, evaluate
    "workflow_actions_ml_training": (10, 0, 16, 3),
    # setup > process > finalize
    "workflow_actions_simple": (3, 0, 2, 3),
    # setup, process1 to process3, finalize
    "workflow_actions_simple_slurm.yaml": (5, 0, 6, 3),
    # the JSON5 file is another workflow than the YAML file: setup > process > finalize
    "workflow_actions_simple_slurm.json5": (3, 0, 2, 3),
    # setup, 3 trainings, 3 evaluations, aggregate; 3 models, 3 metrics
    "zip_parameter_mode.yaml": (8, 6, 9, 4),
    # only the 3 trainings and the 3 evaluations; 3 models
    "zip_parameter_mode.json5": (6, 3, 3, 2),
}
FILES = sorted(FOLDER.iterdir())


def plan(path: Path) -> Plan:
    return creation.plan_file(str(path))


def test_all_files_are_here() -> None:
    assert len(FILES) == 36
    assert {path.stem for path in FILES} == {name.partition(".")[0] for name in COUNTS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_counts(path: Path) -> None:
    made = plan(path)
    counted = (len(made.names), len(made.file_names), sum(map(len, made.parents)), max(made.stages))
    assert counted == COUNTS.get(path.name, COUNTS.get(path.stem))


TWINS = sorted({path.stem for path in FILES} - {"workflow_actions_simple_slurm", "zip_parameter_mode"})


@pytest.mark.parametrize("stem", TWINS)
def test_twins_make_the_same_graph(stem: str) -> None:
    plans = [plan(path) for path in FILES if path.stem == stem]
    for other in plans[1:]:
        for field in ("names", "parents", "files", "data", "file_names", "scheduler"):
            assert getattr(plans[0], field) == getattr(other, field), field


def test_details() -> None:
    """Some values that a person reads out of the text."""
    sweep = plan(FOLDER / "hyperparameter_sweep.yaml")
    assert sweep.names[2:5] == [
        "train_lr0.0001_bs16_optadam",
        "train_lr0.0001_bs16_optsgd",
        "train_lr0.0001_bs32_optadam",
    ]
    assert "--learning-rate=0.001 " in sweep.commands[8]
    assert sweep.parents[20] == tuple(range(2, 20))
    assert sweep.requirements[2] == {
        "name": "gpu_training",
        "num_cpus": 8,
        "num_gpus": 1,
        "num_nodes": 1,
        "memory_bytes": 32 * 2**30,
        "runtime_s": 7200,
    }
    sample = plan(FOLDER / "sample_workflow.yaml")
    assert sample.scripts == [None, "#!/bin/bash\nset -e\nexport PYTHONPATH=/opt/validation:$PYTHONPATH\n", None]
    assert [cancels for _, cancels, _ in sample.settings] == [False, True, True]
    assert sample.schedulers[1]["walltime"] == "04:00:00"
    diamond = plan(FOLDER / "diamond_workflow.yaml")
    assert diamond.commands[0].endswith("preprocess.sh -i f1.json -o f2.json -o f3.json")
    slurm = plan(FOLDER / "workflow_actions_simple_slurm.yaml")
    assert [action["jobs"] for action in slurm.actions] == [[], [1, 2, 3], [4]]
    monitor = plan(FOLDER / "slurm_staged_pipeline.yaml").workflow["config"]["resource_monitor"]
    assert monitor["metrics"] == ["cpu_percent", "memory_bytes"]


def test_the_script_of_a_folded_command_keeps_its_shell_variables() -> None:
    assert "input_${i}.dat" in plan(FOLDER / "slurm_staged_pipeline.yaml").commands[0]


def test_formats_are_told_without_an_extension(tmp_path: Path) -> None:
    for name in ("failure_handler_simulation.json", "diamond_workflow.json5", "diamond_workflow.yaml"):
        (tmp_path / "spec").write_text((FOLDER / name).read_text())
        assert specfile.load(str(tmp_path / "spec")).data == specfile.load(str(FOLDER / name)).data
