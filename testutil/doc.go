// Package testutil is what the engine's tests stand on, and those of its users: servers in the process, clusters of
// them, and real processes that can be killed.
//
//	func TestMyWorkflow(t *testing.T) {
//		nc := testutil.Connect(t, testutil.NATS(t))
//		e, err := engine.New(engine.Config{Conn: nc})
//		...
//	}
//
// Everything is stopped and removed when the test ends. Servers listen on the loopback interface, on free ports.
// Package journaltest holds the journal in memory, its faults and the conformance suite of saga.Journal; package
// simulation drives the protocol through seeded schedules of crashes. Neither needs a server.
package testutil
