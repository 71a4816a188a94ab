"""audit --cluster: the same files, of photos that other processes have hashed."""

import pytest
from faults.listing import contents

import fashion_keras as fk
from fashion_keras.audit import main

pytest.importorskip("ray")


@pytest.mark.slow
def test_an_audit_by_a_cluster_finds_the_same(finished, tmp_path):
    records = finished / "records"
    here, there = tmp_path / "here", tmp_path / "there"
    one = fk.audit(records, here, progress=False)
    many = fk.audit(records, there, cluster="local[2]", progress=False)
    assert many == one
    assert contents(there) == contents(here)


@pytest.mark.parametrize("other", ["--labels", "--titles"])
def test_other_audits_take_no_cluster(finished, tmp_path, capsys, other):
    options = ["--data", str(finished / "records"), "--output", str(tmp_path / "out"), other]
    assert main([*options, "--cluster", "local[2]"]) == 2
    assert "--cluster belongs to the audit of near-duplicates" in capsys.readouterr().err
