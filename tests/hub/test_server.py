"""The loopback Hub speaks the protocol: the real client is content with it.

What is expected here is written in the Hub's own documents and was observed with the client.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.conftest import TOKEN
from tests.hub.server import Hub

CARD = """---
language: [en, sw]
license: mit
library_name: peft
base_model: org/base
base_model_relation: adapter
tags: [lora]
---
# Card
"""
WEIGHTS = b"\x08\0\0\0\0\0\0\0{}      "


def upload(api: HfApi, repo: str, files: dict[str, bytes], **more: object) -> object:
    """Commit files as plain LFS: an open binary file switches Xet off for the commit."""
    additions = [CommitOperationAdd(path, io.BytesIO(data)) for path, data in files.items()]
    return api.create_commit(repo, additions, commit_message="upload", **more)  # type: ignore[call-overload]


def test_who_and_a_new_repository(hub: Hub, api: HfApi) -> None:
    assert api.whoami()["name"] == "anna"
    assert api.create_repo("lab/a", private=True).repo_id == "lab/a"
    assert api.create_repo("lab/a", exist_ok=True).repo_id == "lab/a"
    assert hub.repos["lab/a"].private
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo("strangers/a")
    assert refused.value.response.status_code == 403


def test_what_is_uploaded_comes_back(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    api.create_repo("anna/a")
    upload(api, "anna/a", {"README.md": CARD.encode(), "x.safetensors": WEIGHTS})
    entries = {e.path: e for e in api.list_repo_tree("anna/a", recursive=True)}
    lfs = entries["x.safetensors"].lfs  # type: ignore[union-attr]
    assert lfs is not None
    assert lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    folder = Path(snapshot_download("anna/a", endpoint=hub.endpoint, cache_dir=tmp_path))
    assert (folder / "README.md").read_text() == CARD
    assert (folder / "x.safetensors").read_bytes() == WEIGHTS
    puts = hub.asked("PUT", "/upload/")
    assert [put.headers.get("authorization") for put in puts] == [None]
    assert {r.token for r in hub.requests if r.host == "storage"} == {None}


def test_card_makes_tags_that_filters_find(hub: Hub, api: HfApi) -> None:
    hub.publish("lab/a", {"README.md": CARD, "adapter_model.safetensors": WEIGHTS})
    hub.publish("lab/b", {"README.md": CARD.replace("peft", "adapter-transformers")})
    assert [m.id for m in api.list_models(filter="base_model:adapter:org/base")] == [
        "lab/b",
        "lab/a",
    ]
    assert [m.id for m in api.list_models(filter=["peft", "license:mit", "sw"])] == ["lab/a"]
    (found,) = api.list_models(search="LAB/A", full=True, cardData=True)
    assert found.sha == hub.repos["lab/a"].head.oid
    assert found.card_data is not None
    assert found.card_data["language"] == ["en", "sw"]
    assert not list(api.list_models(filter="peft", author="nobody"))


def test_lists_and_trees_have_pages(hub: Hub, api: HfApi) -> None:
    hub.page_size = 2
    for number in range(5):
        hub.publish(f"lab/m{number}", {"README.md": CARD})
    assert len(list(api.list_models(filter="peft"))) == 5
    assert len(list(api.list_models(filter="peft", limit=3))) == 3
    hub.publish("lab/m0", {f"d/{n}.txt": b"x" for n in range(5)})
    assert len(api.list_repo_files("lab/m0")) == 6


def test_revisions_tags_and_pull_requests(hub: Hub, api: HfApi) -> None:
    first = hub.publish("anna/a", {"f": b"1"}).oid
    api.create_tag("anna/a", tag="v1")
    second = hub.publish("anna/a", {"f": b"2"}).oid
    assert api.model_info("anna/a", revision="v1").sha == first
    assert api.model_info("anna/a").sha == second
    with pytest.raises(RevisionNotFoundError):
        api.model_info("anna/a", revision="v2")
    proposed = upload(api, "anna/a", {"f": b"3"}, create_pr=True)
    assert proposed.pr_num == 1  # type: ignore[attr-defined]
    assert api.model_info("anna/a").sha == second
    refs = api.list_repo_refs("anna/a", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests or []] == ["refs/pr/1"]
    assert hub.files("anna/a", "refs/pr/1") == {"f": b"3"}
    assert [c.title for c in api.list_repo_commits("anna/a")] == ["change", "change"]


def test_a_commit_on_a_stale_parent_is_refused(hub: Hub, api: HfApi) -> None:
    stale = hub.publish("anna/a", {"f": b"1"}).oid
    hub.publish("anna/a", {"f": b"2"})
    with pytest.raises(HfHubHTTPError) as refused:
        upload(api, "anna/a", {"f": b"3"}, parent_commit=stale)
    assert refused.value.response.status_code == 412


def test_private_gated_and_missing(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.publish("lab/hidden", {"f": b"1"}, private=True)
    hub.publish("others/gated", {"f": b"1"}, gated="manual")
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    assert api.model_info("lab/hidden").private
    for repo in ("lab/hidden", "lab/none"):
        with pytest.raises(RepositoryNotFoundError):
            nobody.model_info(repo)
    assert api.model_info("others/gated").gated == "manual"
    with pytest.raises(GatedRepoError):
        hf_hub_download("others/gated", "f", endpoint=hub.endpoint, cache_dir=tmp_path, token=TOKEN)
    with pytest.raises(HfHubHTTPError) as refused:
        HfApi(endpoint=hub.endpoint, token="hf_wrong").model_info("lab/hidden")
    assert refused.value.response.status_code == 401


def test_faults_strike_as_often_as_said(hub: Hub, api: HfApi) -> None:
    hub.publish("anna/a", {"f": b"1"})
    hub.fails("GET", "/api/models/anna/a$", 503, times=1)
    with pytest.raises(HfHubHTTPError):
        api.model_info("anna/a")
    assert api.model_info("anna/a").id == "anna/a"
    hub.fails("POST", "/commit/", 500, done=True)
    with pytest.raises(HfHubHTTPError):
        upload(api, "anna/a", {"f": b"2"})
    assert hub.files("anna/a") == {"f": b"2"}
