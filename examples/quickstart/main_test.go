package main

import (
	"os"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

func TestTheExampleRuns(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t), engine.ConnectOptions()...)
	if err := run(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
}

func TestTheReadmeShowsThisVeryProgram(t *testing.T) {
	readme := read(t, "../../README.md")
	_, run, _ := strings.Cut(read(t, "main.go"), "func run(")
	run, _, _ = strings.Cut(run, "func main(")
	for what, code := range map[string]string{"order.go": read(t, "order.go"), "run of main.go": "func run(" + strings.TrimSpace(run) + "\n"} {
		if !strings.Contains(readme, "```go\n"+code+"```") {
			t.Errorf("README.md does not show %s", what)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
