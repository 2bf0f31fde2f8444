"""My project: models, data and what is learned. Its classes may stand in checkpoints."""

import kindling

kindling.trust(__name__)
