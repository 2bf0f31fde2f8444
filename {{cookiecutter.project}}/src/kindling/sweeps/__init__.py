"""Many runs: their space, their study, their jobs, and what came of them."""
