# What R says of the cases beside this file: the second opinion that test_reference.py compares ours with.
#
#     Rscript make_reference.R [folder of GTRNet's published files]
#
# Run it again only to change the cases; the versions it ran with stand in results.json. Debian: r-base-core r-cran-proc
# r-cran-rms r-cran-survival r-cran-maxstat r-cran-psych r-cran-mass r-cran-jsonlite. Not needed to run the tests.

suppressPackageStartupMessages({
  library(pROC); library(rms); library(survival); library(maxstat); library(psych); library(MASS); library(jsonlite)
})
set.seed(20252)
gtrnet <- commandArgs(trailingOnly = TRUE)

# Two scores of the same 160 cases, one rounded so that it has ties, and probabilities that are too extreme.
n <- 160
truth <- rbinom(n, 1, 0.4)
latent <- rnorm(n) + 1.2 * truth
cases <- data.frame(
  truth = truth,
  first = round(latent + rnorm(n, sd = 0.4), 6),
  second = round(0.5 * latent + rnorm(n), 1),
  probability = round(plogis(1.6 * latent - 1.8), 6)
)
write.csv(cases, "cases.csv", row.names = FALSE)
first <- roc(cases$truth, cases$first, direction = "<", quiet = TRUE)
second <- roc(cases$truth, cases$second, direction = "<", quiet = TRUE)
test <- roc.test(first, second, method = "delong", paired = TRUE)
best <- coords(first, "best", best.method = "youden", ret = c("threshold", "sensitivity", "specificity"))
logit <- qlogis(cases$probability)
slope <- glm(truth ~ logit, binomial, cases)
large <- glm(truth ~ 1 + offset(logit), binomial, cases)
judged <- val.prob(cases$probability, cases$truth, pl = FALSE)

# Survival of 150 patients by a marker, with ties in time and a covariate.
m <- 150
marker <- round(rexp(m), 3)
age <- round(rnorm(m, 62, 9))
time <- rexp(m, 0.03 * exp(0.9 * (marker > 1.1) + 0.02 * (age - 62)))
end <- runif(m, 6, 70)
survivors <- data.frame(
  marker = marker, age = age, high = as.integer(marker > 1.1),
  months = pmax(0.5, round(pmin(time, end) * 2) / 2), event = as.integer(time <= end)
)
write.csv(survivors, "survivors.csv", row.names = FALSE)
outcome <- with(survivors, Surv(months, event))
curves <- survfit(outcome ~ high, survivors, conf.type = "log-log")
marks <- summary(curves, times = c(12, 24))
difference <- survdiff(outcome ~ high, survivors)
model <- coxph(outcome ~ high + age, survivors, ties = "efron")
found <- maxstat.test(Surv(months, event) ~ marker, survivors, smethod = "LogRank", pmethod = "Lau92",
                      minprop = 0.1, maxprop = 0.9)

# The six targets and four judges of Shrout & Fleiss (Psychol Bull 1979), table 2.
judges <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), 6, byrow = TRUE)
icc <- ICC(judges, lmer = FALSE)$results

result <- list(
  versions = c(list(R = R.version.string), sapply(
    c("pROC", "rms", "survival", "maxstat", "psych", "MASS"), function(name) as.character(packageVersion(name)),
    simplify = FALSE
  )),
  roc = list(
    auc = c(first$auc, second$auc), variance = c(var(first, method = "delong"), var(second, method = "delong")),
    covariance = cov(first, second, method = "delong"), z = unname(test$statistic), p = test$p.value,
    difference = as.numeric(test$conf.int), cut = best$threshold, youden = best$sensitivity + best$specificity - 1
  ),
  calibration = list(
    slope = unname(coef(slope)[2]), slope_interval = unname(confint.default(slope)[2, ]),
    intercept = unname(coef(large)), intercept_interval = unname(confint.default(large)[1, ]),
    brier = unname(judged["Brier"]), ici = unname(judged["Eavg"])
  ),
  survival = list(
    median = unname(quantile(curves, 0.5)$quantile[, 1]), median_low = unname(quantile(curves, 0.5)$lower[, 1]),
    median_high = unname(quantile(curves, 0.5)$upper[, 1]),
    at = marks$surv, low = marks$lower, high = marks$upper, log_rank = difference$chisq,
    ratio = unname(exp(coef(model))), interval = unname(exp(confint(model))), p = unname(summary(model)$coefficients[, 5]),
    concordance = unname(model$concordance["concordance"]),
    cut = unname(found$estimate), statistic = unname(found$statistic), cut_p = found$p.value
  ),
  agreement = list(type = icc$type, icc = icc$ICC, low = icc$`lower bound`, high = icc$`upper bound`)
)

if (length(gtrnet) == 1) {
  clinic <- read.csv(file.path(gtrnet, "clinic_sel.csv"), check.names = FALSE)
  stages <- read.csv(file.path(gtrnet, "train.csv"))
  joined <- merge(clinic, stages, by.x = "image_name", by.y = "PatientID")
  stopifnot(nrow(joined) == 1192)
  joined$large <- as.integer(joined$Tumor_size >= 5)
  ordinal <- lrm(PathT ~ large + Differentiation_status_poor + Differentiation_status_moderate + Lauren_diffuse +
    Lauren_mixed, joined, maxit = 50, eps = 1e-10)
  proportional <- polr(factor(PathT) ~ large + Differentiation_status_poor + Differentiation_status_moderate +
    Lauren_diffuse + Lauren_mixed, joined, Hess = TRUE, control = list(reltol = 1e-14))
  result$nomogram <- list(
    names = names(coef(proportional)), lrm = unname(coef(ordinal)[-(1:3)]), error = unname(sqrt(diag(vcov(ordinal)))[-(1:3)]),
    polr = unname(coef(proportional)), thresholds = unname(proportional$zeta)
  )
  published <- read.csv(file.path(gtrnet, "test_predictions_resnet152.csv"))
  result$published <- lapply(0:3, function(stage) {
    one <- roc(published$true_label == stage, published[[paste0("prob_", stage)]], direction = "<", quiet = TRUE)
    list(auc = as.numeric(one$auc), variance = var(one, method = "delong"))
  })
}
write(toJSON(result, digits = NA, auto_unbox = TRUE, pretty = TRUE), "results.json")
