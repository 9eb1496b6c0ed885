from queueservice.api.policies.base import ADMIN, READER, rule

RULES = [
    rule('projects:get_all', ADMIN, 'List the projects that ever had a queue.', ('GET', '/v2/projects')),
    rule(
        'projects:get',
        READER,
        "Read one's own project's usage and limits. Those of another project are for admins, and 404 for others.",
        ('GET', '/v2/projects/{project_id}'),
    ),
    rule('projects:update', ADMIN, 'Set the limits of a project.', ('PATCH', '/v2/projects/{project_id}')),
]
