import testtools

from tests.model import mongodb_protocol

HISTORIES = 15_000
#: A broken rule has to be noticed within so many histories.
BOUND = 3_000
#: From which seed on to look for a broken rule, where it takes thousands of histories otherwise.
SEEDS = {
    'refused means nothing is stored': 23_000,
    'a tombstone may be late': 7_000,
    'sweep heeds the bound': 2_000,
    'sweep only keys that are over': 4_000,
    'tombstones outlive purges': 2_000,
}


class TestHistories(testtools.TestCase):
    def test_everything_holds(self):
        broken = []
        for seed in range(HISTORIES):
            try:
                mongodb_protocol.History(seed).run()
            except mongodb_protocol.Broken as error:
                broken.append(f'seed {seed}: {error}')
        self.assertEqual([], broken)


class TestRules(testtools.TestCase):
    """The model notices when the driver would not heed a rule."""

    def test_every_rule_is_needed(self):
        unnoticed = [
            rule
            for rule in mongodb_protocol.RULES.keys() - mongodb_protocol.COVERED
            if mongodb_protocol.find(rule, BOUND, SEEDS.get(rule, 1)) is None
        ]
        self.assertEqual([], unnoticed)
