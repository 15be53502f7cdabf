package saga_test

import (
	"context"
	"fmt"

	"github.com/jetsaga/jetsaga/saga"
)

// A parcel that is on its way cannot be called back: once it is shipped the saga only goes forward, and the steps
// after that are retried until they succeed.
func ExampleStepNode_Pivot() {
	type Parcel struct{ Label, Tracking string }
	label := func(context.Context, *Parcel) error { return nil }
	void := func(context.Context, *Parcel) error { return nil }
	ship := func(context.Context, *Parcel) error { return nil }
	notify := func(context.Context, *Parcel) error { return nil }

	def := saga.Must(saga.Define("send-parcel", 1,
		saga.Step("print-label", label).Compensate(void),
		saga.Step("ship", ship).Pivot(),
		saga.Step("notify", notify),
	))
	fmt.Println("unlimited attempts to notify:", def.Plan().Step("notify").Retry.Attempts == saga.Unlimited)

	_, err := saga.Define("send-parcel", 1,
		saga.Step("ship", ship).Pivot(),
		saga.Step("print-label", label).Compensate(void),
	)
	fmt.Println(err)
	// Output:
	// unlimited attempts to notify: true
	// definition "send-parcel": step "print-label": has a compensation, but after the pivot "ship" nothing is undone
}
