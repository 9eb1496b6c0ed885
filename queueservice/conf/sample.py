"""Write the sample files: python -m queueservice.conf.sample DIRECTORY."""

import contextlib
import io
import pathlib
import sys

from oslo_config import cfg, generator
from oslo_policy import generator as policy_generator

CONFIGURATION = 'queueservice.conf.sample'
POLICY = 'policy.yaml.sample'


def configuration() -> str:
    """The text of the sample configuration: every option of this service with its default and meaning."""
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(['--namespace', 'queueservice', '--wrap-width', '100'], project='queueservice')
    text = io.StringIO()
    generator.generate(conf, text)
    return text.getvalue()


def policy() -> str:
    """The text of the sample policy: every rule with the routes that it guards and its default."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        policy_generator.generate_sample(['--namespace', 'queueservice'], cfg.ConfigOpts())
    return text.getvalue()


def main():
    directory = pathlib.Path(sys.argv[1])
    # Both texts before the first file: a failure leaves the old ones as they are.
    texts = {CONFIGURATION: configuration(), POLICY: policy()}
    for name, text in texts.items():
        (directory / name).write_text(text)


if __name__ == '__main__':
    main()
