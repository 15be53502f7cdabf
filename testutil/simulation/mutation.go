package simulation

import (
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// Mutation is a safety rule that is broken on purpose, at the boundary between the machine and the world around
// it, to show that the invariants would tell. The zero value breaks nothing.
type Mutation string

// The mutations.
const (
	SkipClaim          Mutation = "a commit that only claims is not written"
	StaleLatest        Mutation = "a load that asks for the latest is answered by a lagging replica"
	AckForRetry        Mutation = "a command that is to be delivered again is acknowledged"
	AckForDrop         Mutation = "a command that is left to another delivery is acknowledged"
	AckEarly           Mutation = "a command is acknowledged when it arrives"
	AckBeforeRearm     Mutation = "a command is acknowledged before its timers are set again"
	BlindAppend        Mutation = "an append does not compare revisions"
	ConflictIsSuccess  Mutation = "a conflict is taken for success"
	ErrorIsSuccess     Mutation = "an append whose outcome is unknown is taken for success"
	ForgetRearm        Mutation = "timers are not set again before an acknowledgement"
	ForgetDeliveries   Mutation = "every delivery counts as the first"
	ForgetWhereStored  Mutation = "a delivery does not tell where its command is stored"
	ForgetTimerVersion Mutation = "a timer does not tell the version of its commit"
	UnconditionalStart Mutation = "a Start is stored whether or not there was one before"
	StartNotFound      Mutation = "the Start of a run is never found"
	NoRedelivery       Mutation = "a command is delivered once"
)

// forget begins the mutations that [Forget] makes.
const forget = "an event is forgotten: "

// Forget breaks evolve: events of the type with that wire name are not applied.
func Forget(event string) Mutation { return Mutation(forget + event) }

// isForget reports whether the mutation is of those that [Forget] makes.
func (m Mutation) isForget() bool { return strings.HasPrefix(string(m), forget) }

// forgets reports whether the mutation forgets events of e's type.
func (m Mutation) forgets(e saga.Event) bool { return m == Forget(saga.EventName(e)) }
