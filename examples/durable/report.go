package durable

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// Sales are the sales of a region in a month, in cents.
type Sales struct {
	Region string `json:"region"`
	Cents  int64  `json:"cents"`
}

// Warehouse has the figures.
type Warehouse interface {
	Regions(ctx context.Context, month string) ([]string, error)
	Sales(ctx context.Context, month, region string) (int64, error)
	Store(ctx context.Context, month string, all []Sales) (url string, err error)
}

// ReportContext is the context of the report's tasks.
type ReportContext struct {
	*runtime.Context
	Warehouse Warehouse `task:"supply"`
}

// Report counts the sales of a month, each region in a task of its own, and stores
// the report.
//
//task:context durable retries=5
func Report(ctx *ReportContext, month string) (url string, err error) {
	regions, err := runtime.Step(ctx, "regions", func(ctx *ReportContext) ([]string, error) {
		return ctx.Warehouse.Regions(ctx, month)
	})
	if err != nil {
		return "", err
	}
	calls := make([]runtime.Call[Sales], len(regions))
	for i, region := range regions {
		calls[i] = CountSalesCall(month, region)
	}
	all, err := runtime.All(ctx, "sales", calls...) // 50 children, each once
	if err != nil {
		return "", err // until they have ended: runtime.ErrSuspended
	}
	return runtime.Step(ctx, "store", func(ctx *ReportContext) (string, error) {
		return ctx.Warehouse.Store(ctx, month, all)
	})
}

// CountSales counts the sales of one region.
//
//task:context retries=3 queue=counting
func CountSales(ctx *ReportContext, month, region string) (Sales, error) {
	cents, err := ctx.Warehouse.Sales(ctx, month, region)
	if err != nil {
		return Sales{}, fmt.Errorf("sales of %s: %w", region, err)
	}
	return Sales{Region: region, Cents: cents}, nil
}

// PartialReport stores the report without the regions that cannot be counted.
//
//task:context durable retries=5
func PartialReport(ctx *ReportContext, month string, regions []string) (url string, err error) {
	fs := make([]*runtime.Future[Sales], len(regions))
	for i, region := range regions {
		fs[i] = runtime.Spawn(ctx, "sales/"+region, CountSalesCall(month, region))
	}
	ends, err := runtime.AwaitEnds(ctx, fs...)
	if err != nil {
		return "", err
	}
	var all []Sales
	for i, end := range ends {
		if end.Err != nil {
			ctx.Logger().Warn("region is left out", "region", regions[i], "error", end.Err)
			continue
		}
		all = append(all, end.Result)
	}
	return runtime.Step(ctx, "store", func(ctx *ReportContext) (string, error) {
		return ctx.Warehouse.Store(ctx, month, all)
	})
}
