"""The whole API on one screen."""

import typing

from queueservice.api.resources import (
    buckets,
    claims,
    collections,
    deliveries,
    enrolments,
    files,
    health,
    message_sets,
    messages,
    projects,
    queues,
    redrive,
    schedules,
    set_messages,
    shares,
    staged_helpers,
    subscriptions,
    user_messages,
)

#: The versions of the queue API, oldest first.
ORDER = ('1', '1.1', '2')


class Route(typing.NamedTuple):
    path: str
    resource: type
    since: str = '1'
    until: str = '2'
    admin: bool = False  # only with [DEFAULT] admin_mode
    slashes: bool = False  # the last field of the path may have slashes in it

    def is_in(self, version: str) -> bool:
        return ORDER.index(self.since) <= ORDER.index(version) <= ORDER.index(self.until)

    @property
    def template(self) -> str:
        """The path as Falcon's router wants it."""
        return f'{self.path.removesuffix("}")}:path}}' if self.slashes else self.path


_SUBSCRIPTION = '/queues/{queue_name}/subscriptions/{subscription_id}'

#: Routes of the queue API, below the path of a version.
ROUTES = (
    Route('/queues', queues.QueueCollection),
    Route('/queues/{queue_name}', queues.QueueItemV1, until='1'),
    Route('/queues/{queue_name}', queues.QueueItem, since='1.1', until='1.1'),
    Route('/queues/{queue_name}', queues.QueueItemV2, since='2'),
    Route('/queues/{queue_name}/metadata', queues.QueueMetadata, until='1'),
    Route('/queues/{queue_name}/stats', queues.QueueStats),
    Route('/queues/{queue_name}/purge', queues.QueuePurge, since='2'),
    Route('/queues/{queue_name}/redrive', redrive.QueueRedrive, since='2'),
    Route('/queues/{queue_name}/share', shares.QueueShare, since='2'),
    Route('/queues/{queue_name}/messages', messages.MessageCollection),
    Route('/queues/{queue_name}/messages/{message_id}', messages.MessageItem),
    Route('/queues/{queue_name}/claims', claims.ClaimCollection),
    Route('/queues/{queue_name}/claims/{claim_id}', claims.ClaimItem),
    Route('/queues/{queue_name}/subscriptions', subscriptions.SubscriptionCollection, since='2'),
    Route(_SUBSCRIPTION, subscriptions.SubscriptionItem, since='2'),
    Route(f'{_SUBSCRIPTION}/confirm', subscriptions.SubscriptionConfirmation, since='2'),
    Route(f'{_SUBSCRIPTION}/secret', subscriptions.SubscriptionSecret, since='2'),
    Route(f'{_SUBSCRIPTION}/deliveries', deliveries.DeliveryCollection, since='2'),
    Route(f'{_SUBSCRIPTION}/redeliver', deliveries.Redelivery, since='2'),
    Route(f'{_SUBSCRIPTION}/deliveries/{{delivery_id}}', deliveries.DeliveryItem, since='2'),
    Route('/subscriptions/{subscription_id}', subscriptions.SubscriptionOfProject, since='2'),
    Route('/projects', projects.ProjectCollection, since='2'),
    Route('/projects/{project_id}', projects.ProjectItem, since='2', slashes=True),
    Route('/health', health.PublicPing, until='1'),
    Route('/health', health.Report, since='1.1', admin=True),
    Route('/ping', health.Ping, since='1.1'),
)

#: Routes of the APIs beside the queue API, below the path that `dialects.FAMILIES` has for them.
FAMILIES = {
    '3': (
        Route('/messages', user_messages.UserMessageCollection),
        Route('/messages/{user_message_id}', user_messages.UserMessageItem),
    ),
    'buckets': (
        Route('', buckets.BucketCollection),
        Route('/{bucket_key}', buckets.BucketItem),
        Route('/{bucket_key}/messages', buckets.BucketMessageCollection),
        Route('/{bucket_key}/messages/{uuid}', buckets.BucketMessageItem),
        Route('/{bucket_key}/messages/{uuid}/replay', buckets.BucketMessageReplay),
        Route('/{bucket_key}/errors', buckets.BucketErrorCollection),
        Route('/{bucket_key}/collections', collections.CollectionCollection),
        Route('/{bucket_key}/collections/{collection_uuid}', collections.CollectionItem),
        Route('/{bucket_key}/collections/{collection_uuid}/{uuid}', collections.CollectionMessage),
        Route('/{bucket_key}/collection/{collection_uuid}', collections.DeletedCollection),
        Route('/{bucket_key}/collection/{collection_uuid}/{uuid}', collections.RemovedMessage),
    ),
    'staged': (
        Route('/v1/schedule/', schedules.ScheduleCollection),
        Route('/v1/schedule/{schedule_id}/', schedules.ScheduleItem),
        Route('/v1/schedule/{schedule_id}/next/', schedules.ScheduleRuns),
        Route('/v1/schedule/{schedule_id}/send/', schedules.ScheduleSend),
        Route('/v1/messageset/', message_sets.MessageSetCollection),
        Route('/v1/messageset/{messageset_id}/', message_sets.MessageSetItem),
        Route('/v1/messageset/{messageset_id}/messages', message_sets.MessageSetMessages),
        Route('/v1/messageset_languages/', message_sets.MessageSetLanguages),
        Route('/v1/message/', set_messages.SetMessageCollection),
        Route('/v1/message/{setmessage_id}/', set_messages.SetMessageItem),
        Route('/v1/message/{setmessage_id}/content', set_messages.SetMessageContent),
        Route('/v1/binarycontent/', files.FileCollection),
        Route('/v1/binarycontent/{file_id}/', files.FileItem),
        Route('/v1/subscriptions/', enrolments.EnrolmentCollection),
        Route('/v1/subscriptions/request', enrolments.EnrolmentRequest),
        Route('/v1/subscriptions/{enrolment_id}/', enrolments.EnrolmentItem),
        Route('/v1/subscriptions/{enrolment_id}/send', enrolments.EnrolmentSend),
        Route('/v1/subscriptions/{enrolment_id}/resend', enrolments.EnrolmentResend),
        Route('/v1/failed-tasks/', enrolments.FailureCollection),
        Route('/v1/failed-tasks/{failure_id}/', enrolments.FailureItem),
        Route('/v1/user/token/', staged_helpers.UserTokens),
        Route('/metrics/', staged_helpers.Metrics),
        Route('/health/', staged_helpers.Health),
    ),
}

#: Every API that there is: the versions of the queue API, and the others.
APIS = (*ORDER, *FAMILIES)

#: Routes outside them. The versions document, the OpenAPI document and the home documents are made in `app`.
PUBLIC_ROUTES = (
    Route('/healthz', health.Liveness),
    Route('/readyz', health.PublicPing),
    Route('/media/{file_token}/{file_name}', files.Content),
)


def served(api: str, admin_mode: bool = True) -> list[Route]:
    """The routes that an application has in one of `APIS`."""
    routes = FAMILIES[api] if api in FAMILIES else [route for route in ROUTES if route.is_in(api)]
    return [route for route in routes if admin_mode or not route.admin]
