/* load_report.c: writes what was measured. Rates count messages received, which a broadcast calls
 * deliveries; in an echo they are the messages sent. */
#include "load_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "load_frame.h"

/* The parts of user and system are measured in coarse ticks; here they divide the exact total, so
 * that they add up to it. */
static struct usage server_usage(const struct result *r) {
    struct usage u = r->server;
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
    double n = (double)r->received;
    printf("{\"broadcast\": %s, \"connections\": %zu, \"depth\": %zu, \"size_min\": %zu, "
           "\"size_max\": %zu, \"opcode\": \"%s\", \"seconds\": %.6f, \"sent\": %" PRIu64 ", "
           "\"messages\": %" PRIu64 ", \"messages_per_second\": %.1f, \"mismatches\": %" PRIu64
           ", ",
           o->broadcast ? "true" : "false", o->connections, o->depth, o->size_min, o->size_max,
           o->opcode == OP_TEXT ? "text" : "binary", r->seconds, h->n, r->received, n / r->seconds,
           r->mismatches);
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           histogram_quantile_us(h, 0.50), histogram_quantile_us(h, 0.90),
           histogram_quantile_us(h, 0.99), (double)h->max_ns / 1e3);
    if (o->pid)
        printf("\"server_user_s\": %.6f, \"server_system_s\": %.6f, \"server_cpu_s\": %.6f, ",
               cpu.user, cpu.system, cpu.total);
    if (o->pid && n > 0)
        printf("\"server_user_us_per_message\": %.3f, \"server_system_us_per_message\": %.3f, ",
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (o->pid && cpu.total > 0) printf("\"messages_per_cpu_second\": %.1f, ", n / cpu.total);
    printf("\"load_cpu\": %.4f}\n", r->own);
}

static void write_text(const struct result *r) {
    const struct options *o = r->opt;
    const struct histogram *h = r->latency;
    const char *noun = o->broadcast ? "deliveries" : "messages";
    struct usage cpu = server_usage(r);
    double n = (double)r->received;
    if (o->broadcast)
        printf("messages       %" PRIu64 " to %zu connections\n", h->n, o->connections);
    printf("%-14s %" PRIu64 " in %.3f s, %.0f a second\n", noun, r->received, r->seconds,
           n / r->seconds);
    printf("latency us     p50 %.1f  p90 %.1f  p99 %.1f  max %.1f\n",
           histogram_quantile_us(h, 0.50), histogram_quantile_us(h, 0.90),
           histogram_quantile_us(h, 0.99), (double)h->max_ns / 1e3);
    if (o->pid)
        printf("server CPU     %.3f s (user %.2f, system %.2f), %.0f %%\n", cpu.total, cpu.user,
               cpu.system, 100 * cpu.total / r->seconds);
    if (o->pid && n > 0)
        printf("  for each     %.2f us (user %.2f, system %.2f)\n", cpu.total * 1e6 / n,
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (o->pid && cpu.total > 0) printf("%s per server-CPU-second  %.0f\n", noun, n / cpu.total);
    printf("load CPU       %.0f %%%s\n", 100 * r->own,
           r->own > 0.9 ? "  (the load generator is the bottleneck)" : "");
    printf("mismatches     %" PRIu64 "\n", r->mismatches);
}

void report_write(const struct result *r) {
    (r->opt->json ? write_json : write_text)(r);
}
