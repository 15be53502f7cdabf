// Command benchmarks measures the engine against the floor: a bare loop that sends exactly the messages that the engine
// sends and does nothing else. What the engine costs is the ratio of the two, taken within one run, on one server, in
// alternation, so that it means the same on any machine and beside any other load.
//
//	go run ./benchmarks                          # all variants in a short form
//	go run ./benchmarks -variants success -rounds 9
//	go run ./benchmarks -server-process -check   # allocations of the worker alone; exit 1 below the thresholds
//	go run ./benchmarks -million                 # memory over a million sagas
//
// README.md beside this file says what each figure means.
package main
