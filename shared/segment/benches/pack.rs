//! How fast segments are written, opened and read: the bench set, push by push and as one merged segment.

mod frames;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frames::{Batch, load, merged, raw_bytes};
use segment::{ColumnKind, Filter, Footer, Key, Opened, Options, Writer, decode_lines, decode_timestamps, open_tail};

fn write(batch: &Batch, options: &Options) -> Vec<u8> {
    let mut writer = Writer::new(options.clone());
    for (labels, entries) in batch {
        writer.add(labels, entries);
    }
    writer.finish().expect("a batch has rows").bytes
}

fn open(bytes: &[u8]) -> Footer {
    match open_tail(bytes, bytes.len() as u64).expect("fresh bytes") {
        Opened::Footer(footer) => footer,
        Opened::NeedMore { .. } => panic!("the tail is the whole"),
    }
}

fn pack(criterion: &mut Criterion) {
    let Some(batches) = load() else { return };
    let mut group = criterion.benchmark_group("segment");
    group.sample_size(10);
    let fresh = batches.first().expect("a push");
    group.throughput(Throughput::Bytes(raw_bytes(fresh) as u64));
    group.bench_function("write one push, level 1", |bencher| {
        bencher.iter(|| write(black_box(fresh), &Options::default()))
    });
    let bytes = write(fresh, &Options::default());
    group.bench_function("open one push", |bencher| bencher.iter(|| open(black_box(&bytes))));
    let all = merged(&batches);
    group.throughput(Throughput::Bytes(raw_bytes(&all) as u64));
    group.bench_function("write all merged, level 9", |bencher| {
        bencher.iter(|| write(black_box(&all), &Options::merged()))
    });
    let bytes = write(&all, &Options::merged());
    let footer = open(&bytes);
    let at = |range: &std::ops::Range<u64>| bytes.get(range.start as usize..range.end as usize).expect("inside");
    group.bench_function("open all merged", |bencher| bencher.iter(|| open(black_box(&bytes))));
    group.bench_function("decode all counts", |bencher| {
        bencher.iter(|| footer.decode_counts(at(&footer.counts_range())))
    });
    group.bench_function("decode all timestamps", |bencher| {
        bencher.iter(|| {
            let columns = footer.blocks().iter().filter_map(|block| block.column(&ColumnKind::Timestamps));
            columns
                .map(|column| decode_timestamps(column, at(&column.range)).expect("fresh bytes").len())
                .sum::<usize>()
        })
    });
    group.bench_function("decode all lines", |bencher| {
        bencher.iter(|| {
            let columns = footer.blocks().iter().filter_map(|block| block.column(&ColumnKind::Lines));
            columns
                .map(|column| decode_lines(column, at(&column.range), &[]).expect("fresh bytes").len())
                .sum::<usize>()
        })
    });
    group.bench_function("ask the segment's filter", |bencher| {
        let key = Key::token("zzzzneverzzzz");
        let meta = footer.filter(key).expect("a slice");
        bencher.iter(|| Filter::decode(meta, at(&meta.range)).expect("fresh bytes").contains(black_box(key)))
    });
    group.finish();
}

criterion_group!(benches, pack);
criterion_main!(benches);
