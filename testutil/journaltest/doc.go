// Package journaltest has what it takes to test around a [saga.Journal] without a server: [Memory], a journal in
// memory; [Suite], what every journal must do; and [Faulty], a journal whose calls go wrong by rule.
//
// It stands apart from package testutil so that a test which needs no server does not compile one.
package journaltest
