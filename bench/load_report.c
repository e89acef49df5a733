/* load_report.c: writes what was measured. Rates count messages received, which a broadcast calls
 * deliveries; in an echo they are the messages sent. */
#include "load_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "load_frame.h"

static double seconds_of(const struct result *r) {
    double seconds = (double)(r->end->ns - r->begin->ns) / 1e9;
    return seconds > 0 ? seconds : 1e-9;
}

/* Our own use of a CPU: 1 is all of it. */
static double own_of(const struct result *r) {
    return (r->end->own - r->begin->own) / seconds_of(r);
}

/* The parts of user and system are measured in coarse ticks; here they divide the exact total, so
 * that they add up to it. */
static struct usage server_usage(const struct result *r) {
    const struct usage *from = &r->begin->server, *to = &r->end->server;
    struct usage u = {to->user - from->user, to->system - from->system, to->total - from->total};
    double ticks = u.user + u.system;
    if (ticks > 0) {
        u.user *= u.total / ticks;
        u.system *= u.total / ticks;
    }
    return u;
}

static void write_json(const struct result *r) {
    const struct options *o = r->opt;
    const struct histogram *h = r->latency;
    struct usage cpu = server_usage(r);
    double n = (double)r->received, seconds = seconds_of(r);
    printf("{\"noun\": \"%s\", \"connections\": %zu, \"depth\": %zu, \"size_min\": %zu, "
           "\"size_max\": %zu, \"opcode\": \"%s\", \"seconds\": %.6f, \"sent\": %" PRIu64 ", "
           "\"messages\": %" PRIu64 ", \"messages_per_second\": %.1f, \"mismatches\": %" PRIu64
           ", ",
           r->noun, o->connections, o->depth, o->size_min, o->size_max,
           o->opcode == OP_TEXT ? "text" : "binary", seconds, h->n, r->received, n / seconds,
           r->mismatches);
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f, ",
           histogram_quantile_us(h, 0.50), histogram_quantile_us(h, 0.90),
           histogram_quantile_us(h, 0.99), histogram_quantile_us(h, 0.999),
           (double)h->max_ns / 1e3);
    if (r->late)
        printf("\"rate\": %.1f, \"late_p50_us\": %.1f, \"late_p99_us\": %.1f, ", o->rate,
               histogram_quantile_us(r->late, 0.50), histogram_quantile_us(r->late, 0.99));
    if (o->deflate && n > 0)
        printf("\"compressed\": %" PRIu64 ", \"payload_bytes\": %.1f, ", r->compressed,
               (double)r->payload / n);
    if (o->pid)
        printf("\"server_user_s\": %.6f, \"server_system_s\": %.6f, \"server_cpu_s\": %.6f, "
               "\"server_cpu\": %.4f, ",
               cpu.user, cpu.system, cpu.total, cpu.total / seconds);
    if (o->pid && n > 0)
        printf("\"server_user_us_per_message\": %.3f, \"server_system_us_per_message\": %.3f, ",
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (o->pid && cpu.total > 0) printf("\"messages_per_cpu_second\": %.1f, ", n / cpu.total);
    printf("\"load_cpu\": %.4f}\n", own_of(r));
}

static void write_text(const struct result *r) {
    const struct options *o = r->opt;
    const struct histogram *h = r->latency;
    struct usage cpu = server_usage(r);
    double n = (double)r->received, seconds = seconds_of(r), own = own_of(r);
    if (o->broadcast)
        printf("messages       %" PRIu64 " to %zu connections\n", h->n, o->connections);
    printf("%-14s %" PRIu64 " in %.3f s, %.0f a second\n", r->noun, r->received, seconds,
           n / seconds);
    printf("latency us     p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
           histogram_quantile_us(h, 0.50), histogram_quantile_us(h, 0.90),
           histogram_quantile_us(h, 0.99), histogram_quantile_us(h, 0.999),
           (double)h->max_ns / 1e3);
    if (r->late)
        printf("sent late us   p50 %.1f  p99 %.1f, at a rate of %.0f\n",
               histogram_quantile_us(r->late, 0.50), histogram_quantile_us(r->late, 0.99), o->rate);
    if (o->pid)
        printf("server CPU     %.3f s (user %.2f, system %.2f), %.0f %%\n", cpu.total, cpu.user,
               cpu.system, 100 * cpu.total / seconds);
    if (o->pid && n > 0)
        printf("  for each     %.2f us (user %.2f, system %.2f)\n", cpu.total * 1e6 / n,
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (o->pid && cpu.total > 0) printf("%s per server-CPU-second  %.0f\n", r->noun, n / cpu.total);
    printf("load CPU       %.0f %%%s\n", 100 * own,
           !r->late && own > 0.9 ? "  (the load generator is the bottleneck)" : "");
    printf("mismatches     %" PRIu64 "\n", r->mismatches);
}

void report_write(const struct result *r) {
    (r->opt->json ? write_json : write_text)(r);
}
