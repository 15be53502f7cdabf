package simulation

import (
	"strings"
)

// Situation is something that a run may get into. Tests assert that the seeds reach all of them, so that the
// simulation does not go blind as the code around it changes.
type Situation int

// The situations.
const (
	Completed             Situation = iota // a run completed
	Compensated                            // a run was undone
	StuckPastPivot                         // a step past the pivot failed for good
	StuckUndo                              // an undo failed for good
	RanAgain                               // a run followed another
	Conflicted                             // an append lost the race for its version
	ConflictedWithNobody                   // an append was told that it lost a race that nobody has won
	SawItselfInTheLog                      // an append conflicted with itself: it had been stored before
	Ambiguous                              // an append was stored and its caller told otherwise
	ArrivedLate                            // an append arrived after its worker had repeated it
	Reclaimed                              // a redelivery took a running saga over
	ZombieFenced                           // an activation found that another had taken over, and dropped out
	ZombieRan                              // a handler ran that its saga's owner had not asked for
	WorkerCrashed                          // a worker died
	WorkerFroze                            // a worker stood still for longer than its commands were kept for it
	WorkerStopped                          // a worker gave its commands back
	EffectWithoutCommit                    // a worker died between a handler's effect and the commit
	CommitWithoutAck                       // a worker died between a commit and the acknowledgement
	AckLost                                // an acknowledgement got lost
	ServerRestarted                        // delivery counts were forgotten
	Adopted                                // a worker was delivered a command that it already held
	Parked                                 // a saga parked
	TimerLost                              // a commit was stored and its schedule lost
	TimerRearmed                           // a schedule that was lost was set again
	OrphanTimer                            // a timer fired whose commit never was
	TimerEarly                             // a timer fired before its commit was in the log
	TimerTwice                             // a timer fired twice
	StaleRead                              // a replica answered that lagged
	PokeLost                               // a poke got lost
	WaitCutShort                           // a poke ended a wait
	HandlerInterrupted                     // a poke ended a handler's context
	StartRefused                           // a second Start of one saga was refused
	CancelledBeforeStart                   // a Cancel was handled before the Start was
	CancelledDuringFirst                   // ... while the Start's worker ran the first step
	CancelledWhileRunning                  // a Cancel was left to the owner
	CancelledWhileParked                   // a Cancel woke a parked saga
	CancelledPastPivot                     // a Cancel came too late to undo anything
	CancelledAfterEnd                      // a Cancel came when all was over
	CancelRejected                         // a Cancel named a run that never was
	CancelledInDoubt                       // a Cancel waited for a step that may have run already
	VersionUnknown                         // a worker did not know the definition's version
	LogUnknown                             // a worker's build did not know what is in the log
	PeriodicSnapshot                       // a log grew past the distance of two snapshots
	HandlerPanicked                        // a handler panicked
	PutOff                                 // an attempt was put off, which does not count
	SeveralAtOnce                          // an activation ran several handlers at once
	ResultsTogether                        // results of several handlers came together
	EffectInVain                           // a handler had its effect after its activation was over
	Asked                                  // a state was asked
	ChildBegun                             // a child was started
	ChildRecalled                          // a child was told to undo what it has done
	PausedToTheEnd                         // a saga was paused until nothing else was left to do
	Helped                                 // an operator dealt with a saga that was stuck
	situations            = iota
)

var situationNames = [situations]string{
	Completed: "completed", Compensated: "compensated", StuckPastPivot: "stuck past the pivot", StuckUndo: "stuck undo",
	RanAgain: "ran again", Conflicted: "conflict", ConflictedWithNobody: "conflict with nobody", SawItselfInTheLog: "conflict with itself", Ambiguous: "ambiguous append",
	ArrivedLate: "append arrived late", Reclaimed: "reclaimed", ZombieFenced: "zombie fenced", ZombieRan: "zombie ran a handler",
	WorkerCrashed: "worker crashed", WorkerFroze: "worker froze", WorkerStopped: "worker stopped",
	EffectWithoutCommit: "crash between effect and commit", CommitWithoutAck: "crash between commit and ack",
	AckLost: "ack lost", ServerRestarted: "server restarted", Adopted: "redelivered to its holder", Parked: "parked",
	TimerLost: "schedule lost", TimerRearmed: "lost schedule set again", OrphanTimer: "orphan timer",
	TimerEarly: "timer before its commit", TimerTwice: "timer fired twice", StaleRead: "stale read", PokeLost: "poke lost",
	WaitCutShort: "wait cut short", HandlerInterrupted: "handler interrupted", StartRefused: "second start refused",
	CancelledBeforeStart: "cancel before start", CancelledDuringFirst: "cancel during first step",
	CancelledWhileRunning: "cancel while running", CancelledWhileParked: "cancel while parked",
	CancelledPastPivot: "cancel past the pivot", CancelledAfterEnd: "cancel after the end",
	CancelRejected: "cancel of no run", CancelledInDoubt: "cancel in doubt", VersionUnknown: "version unknown", LogUnknown: "log unknown",
	PeriodicSnapshot: "periodic snapshot", HandlerPanicked: "handler panicked", PutOff: "put off",
	SeveralAtOnce: "several handlers at once", ResultsTogether: "results together", EffectInVain: "effect in vain", Asked: "asked",
	ChildBegun: "child begun", ChildRecalled: "child recalled", PausedToTheEnd: "paused to the end", Helped: "helped by an operator",
}

func (s Situation) String() string { return situationNames[s] }

// OfTheLanguage reports whether only plans of all constructs get into the situation, and not rows of steps.
func (s Situation) OfTheLanguage() bool { return s >= SeveralAtOnce }

// Situations is a set of them.
type Situations uint64

// Has reports whether s is in the set.
func (set Situations) Has(s Situation) bool { return set&(1<<s) != 0 }

func (set *Situations) add(s Situation) { *set |= 1 << s }

// String gives the names in the set.
func (set Situations) String() string {
	var names []string
	for s := range Situation(situations) {
		if set.Has(s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ", ")
}

// AllSituations gives every situation there is.
func AllSituations() []Situation {
	all := make([]Situation, situations)
	for i := range all {
		all[i] = Situation(i)
	}
	return all
}
