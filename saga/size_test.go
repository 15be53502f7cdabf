package saga

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What steps have failed with is part of a snapshot, which has to fit in a message.
func TestTheSizeOfASagaCountsWhatItsStepsHaveFailedWith(t *testing.T) {
	in := NewInstance(Key{Definition: "order", ID: "o-1"})
	for i := range 300 {
		*in.Steps.at(fmt.Sprintf("an-item-of-the-order/%d/ship", i)) = StepState{
			Status: StepGaveUp, Attempt: 3, Error: strings.Repeat("e", 4000), Failure: strings.Repeat("f", 4000),
		}
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if size := in.size(); size < len(data)*9/10 || size > len(data)*11/10 {
		t.Errorf("it is taken for %d bytes, and is %d", size, len(data))
	}
}
