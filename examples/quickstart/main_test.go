package main

import (
	"os"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestTheExampleRuns(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t), engine.ConnectOptions()...)
	if err := run(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
}

func TestTheReadmeShowsThisVeryProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```") {
		t.Error("the program in README.md is not examples/quickstart/main.go")
	}
}
