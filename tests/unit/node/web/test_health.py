"""Health and metrics."""

from pathlib import Path

from node.domain.access import Role
from tests.page import HASHED, PageUnderTest, open_page


def test_a_node_that_can_work_is_ready(page: PageUnderTest) -> None:
    """Database and disk are looked at."""
    assert page.client().get("/health/live").json() == {"status": "ok"}
    answer = page.client().get("/health/ready")
    checks = answer.json()["checks"]
    assert checks["database"] == "ok"
    assert answer.status_code == (200 if checks["disk"] == "ok" else 503)


def test_a_database_of_another_version_is_not(page: PageUnderTest) -> None:
    """503, and what to do."""
    with page.stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    answer = page.client().get("/health/ready")
    assert answer.status_code == 503
    assert "celadon db upgrade" in answer.json()["checks"]["database"]
    assert page.client().get("/health/live").status_code == 200


def test_metrics_count_and_name_no_patient(full: PageUnderTest) -> None:
    """Read from the database at each scrape."""
    text = full.client().get("/metrics").text
    assert 'celadon_jobs{state="waiting"} 1.0' in text
    assert 'celadon_refusals_total{reason="ANNOTATION_ORPHAN"} 1.0' in text
    assert 'celadon_turnaround_seconds_bucket{le="+Inf",predictor="gtrnet"} 1.0' in text
    assert 'celadon_queue_depth{queue="cpu"} 1.0' in text
    assert 'celadon_alarm{alarm="no-traffic"} 0.0' in text
    assert 'celadon_step_seconds_bucket{le="+Inf",step="predict"}' in text
    assert "celadon_leases_lost_total" in text
    for name in ("PAT-", "Patient", "ACC-", "2.25."):
        assert name not in text


def test_each_metric_is_one_family(full: PageUnderTest) -> None:
    """A second one of the same name is an error in the format; alarms come from two places."""
    text = full.client().get("/metrics").text
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))
    assert 'celadon_alarm{alarm="attention"}' in text
    assert 'celadon_alarm{alarm="waiting"}' in text


def test_where_others_can_ask_metrics_need_a_token(tmp_path: Path, migrated: Path) -> None:
    """Health does not: load balancers have none."""
    page = open_page(tmp_path, migrated, public_url="http://celadon.example")
    page.stores.users.add("prometheus", HASHED, Role.VIEWER)
    token = page.stores.users.add_token("prometheus", "scrape", 1)
    client = page.client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert client.get("/health/live").status_code == 200
