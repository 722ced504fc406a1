# Two commands on a fresh machine do it all: `make demo` shows a cluster living, `make test` passes the tests.
# Both need root (network namespaces, mounts, loop devices), Rust, Go and Python; they install the rest.

.PHONY: demo test test-all lint bench clean

# SHAPE=private puts its machines into private subnets, behind a bastion and load balancers; with SHAPE=private-ha there
# are three masters, of which each is killed in turn, and one is replaced in order while the API is asked.
demo:
	tests/demo

test:
	tests/run

# Every point of the tests that take a sample, and those that take ten minutes: hours.
test-all:
	WINDLASS_TEST_ALL=1 tests/run

lint:
	tests/run lint

bench:
	tests/bench/run

# Ends what a killed test or demo has left behind, and removes what was built.
clean:
	-target/debug/localcloud down
	cargo clean
	rm -rf out
