package sagatest

import "context"

// effects remembers what has happened once, by its key: for [saga.Once], and for guarded steps. It outlives workers.
type effects map[string][]byte

func (e effects) Do(ctx context.Context, key string, fn func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	if result, known := e[key]; known {
		return result, nil
	}
	result, err := fn(ctx)
	if err != nil {
		return nil, err
	}
	e[key] = result
	return result, nil
}
