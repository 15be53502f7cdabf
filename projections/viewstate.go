package projections

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// viewFeeds begins the names of the consumers of all views; the view's name and the generation follow, each after a '-'.
const viewFeeds = "view-"

// Views gives the names of the views that streams are read for, sorted: of those that were never run there is nothing.
func Views(ctx context.Context, source Source) ([]string, error) {
	feeds, err := source.Feeds(ctx, viewFeeds)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(feeds))
	for _, feed := range feeds {
		name, _, _ := strings.Cut(strings.TrimPrefix(feed, viewFeeds), "-")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// ViewGenerations tells which generations of a view there are.
func ViewGenerations(ctx context.Context, rdb redis.UniversalClient, namespace, name string) (Generations, error) {
	return generationsAt(ctx, rdb, viewMarker(namespace, name))
}

// ViewLag gives how many records of a stream a generation of a view does not have yet; see [Lag].
func ViewLag(ctx context.Context, source Source, stream, name, generation string) (uint64, error) {
	p, err := source.Progress(ctx, stream, viewFeeds+name+"-"+generation)
	return p.Lag, err
}

// ViewPoisoned gives the events of which a view's writes could not be read or carried out, the first ones first, at most limit.
func ViewPoisoned(ctx context.Context, rdb redis.UniversalClient, namespace, name string, limit int) (list []Poison, err error) {
	err = ReadView(ctx, rdb, namespace, name, func(key func(string) string) (err error) {
		list, err = poisonIn(ctx, rdb, key(".poison"))
		return err
	})
	return earliest(list, limit), err
}
