"""What moto leaves out altogether, kept here in plain dictionaries.

Logs Insights query definitions (CloudWatch Logs API Reference, PutQueryDefinition) and the tags of
scalable targets (Application Auto Scaling API Reference, TagResource).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from localcloud.gateway import ApiError, Call, Reply

if TYPE_CHECKING:
    from localcloud.cloud import Cloud


class Gaps:
    """Answers a few calls for which moto has no implementation."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._queries: dict[str, dict[str, Any]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        gateway, scaling = cloud.gateway, "application-autoscaling"
        gateway.override("logs", "PutQueryDefinition", self._put_query)
        gateway.override("logs", "DescribeQueryDefinitions", self._describe_queries)
        gateway.override("logs", "DeleteQueryDefinition", self._delete_query)
        gateway.after(scaling, "RegisterScalableTarget", self._registered)
        gateway.override(scaling, "TagResource", self._tag)
        gateway.override(scaling, "UntagResource", self._untag)
        gateway.override(scaling, "ListTagsForResource", self._list_tags)

    async def _put_query(self, call: Call) -> Reply:
        wanted = {key: value for key, value in call.params.items() if key != "clientToken"}
        identity = wanted.setdefault("queryDefinitionId", str(uuid.uuid4()))
        wanted["lastModified"] = int(self.cloud.clock.now() * 1000)
        self._queries[identity] = wanted
        return {"queryDefinitionId": identity}

    async def _describe_queries(self, call: Call) -> Reply:
        prefix = call.params.get("queryDefinitionNamePrefix", "")
        return {
            "queryDefinitions": [
                query for query in self._queries.values() if query["name"].startswith(prefix)
            ]
        }

    async def _delete_query(self, call: Call) -> Reply:
        if self._queries.pop(call.params["queryDefinitionId"], None) is None:
            raise ApiError("ResourceNotFoundException", "The specified query does not exist.")
        return {"success": True}

    async def _registered(self, call: Call, reply: Reply) -> None:
        if "Tags" in call.params:
            self._tags.setdefault(reply["ScalableTargetARN"], {}).update(call.params["Tags"])

    async def _tag(self, call: Call) -> Reply:
        self._tags.setdefault(call.params["ResourceARN"], {}).update(call.params["Tags"])
        return {}

    async def _untag(self, call: Call) -> Reply:
        for key in call.params["TagKeys"]:
            self._tags.get(call.params["ResourceARN"], {}).pop(key, None)
        return {}

    async def _list_tags(self, call: Call) -> Reply:
        return {"Tags": self._tags.get(call.params["ResourceARN"], {})}
