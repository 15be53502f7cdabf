package main

import (
	"io"
	"strings"
	"testing"
)

func TestFlagsThatMakeNoSenseAreRefusedAllAtOnce(t *testing.T) {
	for _, test := range []struct {
		args string
		want []string
	}{
		{"-sagas -1 -rounds -1 -rate 0", []string{"-sagas -1", "-rounds -1", "-rate 0"}},
		{"-o yaml extra", []string{`-o "yaml"`, `unexpected argument "extra"`}},
		{"-only both", []string{`-only "both"`}},
		{"-only floor -check", []string{"-check compares both"}},
		{"-server nats://h -server-process", []string{"exclude each other"}},
		{"-variants success,nonsense", []string{`no variant "nonsense"`}},
	} {
		_, err := parseOptions(strings.Fields(test.args), io.Discard)
		if err == nil {
			t.Errorf("%s was taken", test.args)
			continue
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not tell %q", test.args, err, part)
			}
		}
	}
}

func TestAMillionSagasHaveTheServerElsewhere(t *testing.T) {
	o, err := parseOptions([]string{"-million"}, io.Discard)
	if err != nil || !o.serverProcess {
		t.Errorf("server in a process of its own: %t, %v", o.serverProcess, err)
	}
	o, err = parseOptions([]string{"-million", "-server", "nats://h"}, io.Discard)
	if err != nil || o.serverProcess {
		t.Errorf("a second server beside the one given: %t, %v", o.serverProcess, err)
	}
}

func TestASagaIsKnownByItsNumber(t *testing.T) {
	for _, n := range []int{0, 7, 12_345_678} {
		if got := sagaNumber(sagaID(n)); got != n {
			t.Errorf("%d came back as %d", n, got)
		}
	}
	for _, id := range []string{"", "order-", "order-x", "other-00000001"} {
		if got := sagaNumber(id); got != -1 {
			t.Errorf("%q is number %d", id, got)
		}
	}
}
