"""The list of metrics: the promised names, a note for each, and the attained share."""

import re

import pytest

from decode.evaluate.metric_list import METRICS, Metric, attained_share


def test_attained_share_is_one_at_the_ceiling_and_none_where_it_means_nothing():
    higher = Metric(name="m", title="", number=1, better="higher", note="")
    lower = Metric(name="m", title="", number=1, better="lower", note="")
    assert attained_share(higher, 0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert attained_share(lower, 0.1, 0.1, 0.5) == pytest.approx(1)
    assert attained_share(lower, 0.5, 0.1, 0.5) == 0
    assert attained_share(higher, 0.7, 0.5, 0.9) is None and attained_share(lower, 0.7, 0.9, 0.9) is None
    assert attained_share(higher, None, 0.9, 0.5) is None
    blind = Metric(name="m", title="", number=1, better="lower", detects=False, note="")
    assert attained_share(blind, 0.1, 0.1, 0.5) is None


def test_metric_names_are_those_promised():
    assert " ".join(metric.name for metric in METRICS) == (
        "validity od_cpc od_cpc_tiles start_jsd end_jsd hour_of_week_jsd start_hour_jsd distance_ks distance_w1_km "
        "duration_ks duration_w1 gender_tvd user_type_tvd birth_year_ks bivariate_accuracy k_marginal c2st_auc "
        "c2st_distance_auc tstr_duration_r2 tstr_user_type_auc tstr_demand_r daily_cpc_jsd daily_weights_jsd "
        "daily_clustering_jsd daily_degrees_jsd daily_cpc_within_jsd dcr_share ims nndr_p5 membership_auc "
        "membership_tpr picture_swd picture_density picture_coverage picture_mass picture_active_cells"
    )


def test_every_metric_has_a_note_of_short_sentences():
    for metric in METRICS:
        assert metric.note.endswith((".", "?")), metric.name
        for sentence in re.split(r"(?<=[.?]) ", metric.note):
            assert 3 <= len(sentence.split()) <= 20, f"{metric.name}: {sentence}"


def test_the_note_on_validity_names_no_limit_in_figures():
    note = next(metric.note for metric in METRICS if metric.name == "validity")
    assert "no faster than the vehicle's limit on the straight line" in note and not re.search(r"\d", note)
