package saga_test

import (
	"context"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// These keys are remembered by every participant that was ever called with one. They must never change: a key that
// does makes an effect happen twice. Each is the UUIDv5, in the name space 6c1f8f4e-0d5b-5c6a-9d43-6a6574736167, of
// definition, id, run, step and "do" or "undo" with a NUL between them; the values here were made by another program.
func TestIdempotencyKeysNeverChange(t *testing.T) {
	order := saga.Key{Definition: "order", ID: "o-1"}
	for _, test := range []struct {
		info saga.Info
		want string
	}{
		{saga.Info{Key: order, Run: "r1", Step: "charge"}, "d7b31eeb-0ccc-5ef3-8e46-e37a5e191ffa"},
		{saga.Info{Key: order, Run: "r1", Step: "charge", Undo: true}, "39af6b4b-60b2-5e52-b8ff-ed1be0937d59"},
		{saga.Info{Key: order, Run: "r2", Step: "charge"}, "23ff631b-6c9a-5c03-9091-be714a9ef2db"},
		{saga.Info{Key: saga.Key{Definition: "заказ", ID: "注文-1"}, Run: "r1", Step: "оплата"}, "3b5ecab2-f6b8-58c1-bc2e-7969075af75f"},
		{saga.Info{}, "058037bb-ea44-507c-b34d-973f9793c8b0"},
	} {
		if got := test.info.IdempotencyKey(); got != test.want {
			t.Errorf("the key of %+v is %s, want %s", test.info, got, test.want)
		}
	}
}

func TestAnIdempotencyKeyIsTheSameForEveryAttemptAndForNothingElse(t *testing.T) {
	base := saga.Info{
		Key: saga.Key{Definition: "order", ID: "o-1"}, Run: "r1", DefinitionVersion: 1, Step: "charge", Attempt: 1,
	}
	with := func(change func(*saga.Info)) string {
		info := base
		change(&info)
		return info.IdempotencyKey()
	}
	for name, key := range map[string]string{
		"another attempt":                 with(func(i *saga.Info) { i.Attempt = 2 }),
		"another version of a definition": with(func(i *saga.Info) { i.DefinitionVersion = 2 }),
	} {
		if key != base.IdempotencyKey() {
			t.Errorf("%s has another key", name)
		}
	}
	seen := map[string]string{base.IdempotencyKey(): "the step"}
	for name, key := range map[string]string{
		"another definition":   with(func(i *saga.Info) { i.Key.Definition = "orders" }),
		"another saga":         with(func(i *saga.Info) { i.Key.ID = "o-2" }),
		"another run":          with(func(i *saga.Info) { i.Run = "r2" }),
		"another step":         with(func(i *saga.Info) { i.Step = "charged" }),
		"the undo":             with(func(i *saga.Info) { i.Undo = true }),
		"a part moved over":    with(func(i *saga.Info) { i.Key.Definition, i.Key.ID = "order-o", "1" }),
		"the run and the step": with(func(i *saga.Info) { i.Run, i.Step = i.Step, i.Run }),
	} {
		if other, taken := seen[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
	}
}

func TestAHandlerFindsItsInfoInItsContext(t *testing.T) {
	want := saga.Info{
		Key: saga.Key{Definition: "order", ID: "o-1"}, Run: "r1", DefinitionVersion: 2, Step: "charge", Undo: true, Attempt: 3,
	}
	type key struct{}
	ctx := context.WithValue(saga.NewContext(t.Context(), want), key{}, "more")
	if got := saga.FromContext(ctx); got != want {
		t.Errorf("the info is %+v, want %+v", got, want)
	}
	if got := saga.FromContext(t.Context()); got != (saga.Info{}) {
		t.Errorf("outside a handler the info is %+v", got)
	}
}
