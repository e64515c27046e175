"""The API keeps to its own document, whatever it is sent: schemathesis makes the requests up.

``ATTACKS=all`` makes many, else a few for each operation.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure

from node.domain.access import Role
from node.web.app import make_app
from tests.page import HASHED, PageUnderTest, furnished, open_page

EXAMPLES = 300 if os.environ.get("ATTACKS") == "all" else 12
load_all_checks()
NOT_OURS = {"unsupported_method", "missing_required_header", "ignored_auth"}
"""Methods and headers that the document does not speak of; who is let in is asked in ``test_page_attacks``."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> PageUnderTest:
    """A page with a case of each kind and somebody with a token."""
    made = furnished(open_page(tmp_path_factory.mktemp("openapi"), requests_per_minute=10**6))
    made.stores.users.add("admin", HASHED, Role.ADMIN)
    return made


@pytest.fixture(scope="module")
def token(page: PageUnderTest) -> str:
    """What signs in."""
    return page.stores.users.add_token("admin", "schemathesis", 1)


@pytest.fixture(scope="module")
def api(page: PageUnderTest) -> Any:
    """The document."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_app(page.site), headers={"host": "127.0.0.1"})
    schema.config.base_url = "http://127.0.0.1"
    return schema


def test_every_operation_answers_as_the_document_says(api: Any, token: str, page: PageUnderTest) -> None:
    """Status, media type, headers and body; never a 5xx."""
    headers = {"authorization": f"Bearer {token}", "host": "127.0.0.1"}
    excluded = [one for one in CHECKS.get_all() if one.__name__ in NOT_OURS]
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) >= 9
    broken = []
    for operation in operations:

        @given(case=operation.as_strategy(), is_known=strategies.booleans())
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def holds(case: Case, *, is_known: bool) -> None:
            # Half of what is made up is about a case that there is.
            if is_known and "job_id" in case.path_parameters:
                case.path_parameters["job_id"] = page.jobs["analysed"]
            case.call_and_validate(headers=headers, excluded_checks=excluded)

        try:
            holds()
        except (Failure, BaseExceptionGroup) as failure:
            broken.append(f"{operation.label}: {failure!r} {getattr(failure, 'exceptions', '')}")
    assert broken == []


def test_the_check_can_fail(api: Any, page: PageUnderTest) -> None:
    """An answer that is not as the document says is seen."""
    operation = api["/api/v1/status"]["GET"]
    case = operation.Case()
    response = case.call(headers={"host": "127.0.0.1"})
    assert response.status_code == 401
    response.status_code = 500
    with pytest.raises((Failure, BaseExceptionGroup)):
        case.validate_response(response)
    assert Path(page.settings.data_dir).is_dir()
