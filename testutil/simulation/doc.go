// Package simulation runs whole installations of sagas in virtual time: workers, clients, a journal, a consumer and
// the participants that handlers call, all on one goroutine and all decided by one seed.
//
// It interprets [saga.Activation] as the engine does, lets go wrong whatever may go wrong around it (workers die,
// stand still and come back, messages get lost, arrive late or twice, replicas lag, the server forgets), and then
// checks [Invariant]s: no saga is lost, only its owner moves it, what the participants have done and undone is what
// the log tells.
//
//	r := simulation.Run(simulation.Config{Seed: 7})
//	for _, v := range r.Violations { ... }
//
// There are two kinds of world. In one, plans are rows of steps, and everything that can go wrong around the machine does, as often as
// it can. In the other ([Config.Language]), plans are of all constructs, nested at random: their sagas start children,
// wait for signals, race, emit, are paused, given up and helped by operators; what is asked of a state is answered at random, so that an
// answer that is asked for again is another.
//
// A seed that fails is replayed, with the definitions and everything that happened, by
//
//	go test ./testutil/simulation -run '^TestSimulation$' -simulation.seed=N -v
//	go test ./testutil/simulation -run '^TestSimulationOfTheLanguage$' -simulation.seed=N -v
//
// # What keeps it honest
//
// The model that the log is checked against (shadow.go; line.go and flow.go for the plans) shares no code with the machine: where the
// machine goes through a plan from above, to find what comes next, the model looks at what has happened from below, whether all
// around it and before it allows it. Each safety rule can be
// broken on purpose ([Mutation]); a test shows that the invariants tell. Another shows that every [Situation] worth
// having is reached, so that the simulation does not go blind as the code around it changes.
//
// # What it takes for granted
//
// Participants keep idempotency keys: what is asked for twice happens once, and what they refused once they refuse
// for ever. A worker that lives sends a schedule until it is stored. Whoever is delivered a command whose deliveries
// the server may have forgotten is told so. After the last fault, a worker that knows every definition is there for
// long enough.
package simulation
