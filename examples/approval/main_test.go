package main

import (
	"bytes"
	"os"
	"sync"
	"testing"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

// page is what the program and its worker print on.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func TestTheManagerDecidesAfterAReminder(t *testing.T) {
	var out page
	if err := run(t.Context(), "", t.TempDir(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `mail to the manager: please decide on an expense of Ada
Ada: completed, approved true by Grace (as agreed) after 0 reminders
mail to the manager: please decide on an expense of Blaise
mail to the manager: please decide on an expense of Blaise
mail to Blaise: your expense was not approved
Blaise: completed, approved false by Grace (a yacht) after 1 reminders
`
	if got := out.text.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}
