import pytest
from tiny_records import write_tiny_records


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Records of 48 + 20 + 12 drawn photos of 40×32."""
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder)
    return folder
